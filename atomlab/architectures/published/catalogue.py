"""The published models that `atomlab.load` fetches by name: plain facts, no torch, nothing is downloaded here.

What is listed was verified against its authors' own public pages: addresses in mace-torch's list of foundation models
and in the README of ACEsuit/mace-foundations (whose table also states the licences), the repository and the paper of
GPTFF, the repository of REANN. Left out is what this could not be done for, and what the readers refuse (MACE-MH,
MACE-OMOL, MACE-Polar). Sizes and SHA-256 are given where they are known, and nowhere guessed: those of GPTFF are of
the files whose energies the golden tests compare; for the others `download` shows and pins what came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import InputError, nearest

__all__ = ["PUBLISHED", "Published", "find", "suggestion"]


@dataclass(frozen=True)
class Published:
    """One file that others have published.

    elements: atomic numbers. megabytes (10^6 bytes) and sha256: None where not known. contains: as in `Card`.
    """

    name: str
    architecture: str
    elements: tuple[int, ...]
    level_of_theory: str
    licence: str
    reference: str
    url: str
    megabytes: float | None = None
    sha256: str | None = None
    contains: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    @property
    def file(self) -> str:
        """Name of the file in the cache and at its address."""
        return self.url.rsplit("/", 1)[-1].split("?")[0]


# H to Bi and Ac to Pu: the 89 elements of MPtrj and OMat24
_MATERIALS = (*range(1, 84), *range(89, 95))
_ORGANIC = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)
_MP = "https://github.com/ACEsuit/mace-mp/releases/download"
_FOUNDATIONS = "https://github.com/ACEsuit/mace-foundations/releases/download"
_OFF = "https://github.com/ACEsuit/mace-off/raw/main/mace_off23"
_GPTFF = "https://raw.githubusercontent.com/atomly-materials-research-lab/GPTFF"
_REANN = "https://raw.githubusercontent.com/zhangylch/REANN"
_ASL = "ASL (Academic Software License: no commercial use; github.com/gabor1/ASL)"
_MACE_MP = "Batatia et al., J. Chem. Phys. (2025), doi:10.1063/5.0297006, arXiv:2401.00096"
_PBE_U = "PBE(+U), MPtrj"
_PLAIN = {"zbl": "no", "d3": "no"}  # trained on labels without dispersion
_ZBL = {"zbl": "model", "d3": "no"}


def _mp(name: str, place: str, contains: Mapping[str, str], text: str, level: str = _PBE_U, **known) -> Published:
    return Published(
        f"mace-{name}", "mace", _MATERIALS, level, "MIT", _MACE_MP, f"{_MP}/{place}",
        contains=contains, description=text, **known,
    )  # fmt: skip


def _asl(name: str, url: str, level: str, reference: str, **facts) -> Published:
    facts = {"elements": _MATERIALS, "contains": _ZBL, **facts}
    return Published(f"mace-{name}", "mace", level_of_theory=level, licence=_ASL, reference=reference, url=url, **facts)


def _off(size: str) -> Published:
    return _asl(
        f"off23-{size}",
        f"{_OFF}/MACE-OFF23_{size}.model",
        "ωB97M-D3(BJ)/def2-TZVPPD, SPICE",
        "Kovács et al., J. Am. Chem. Soc. (2025), arXiv:2312.15211",
        elements=_ORGANIC,
        contains={"zbl": "unknown", "d3": "labels"},
        description=f"Organic molecules and liquids, {size}; dispersion is in its training labels",
    )


def _gptff(version: str, commit: str, megabytes: float, sha256: str) -> Published:
    return Published(
        f"gptff-{version}",
        "gptff",
        _MATERIALS,
        "PBE, the Atomly data base",
        "GPL-3.0 (as its paper says; the repository's LICENSE file of 2026 says MIT)",
        "Xie, Lu, Meng, Liu, Science Bulletin 69 (2024) 3525",
        f"{_GPTFF}/{commit}/pretrained/gptff_{version}.pth",
        megabytes,
        sha256,
        _PLAIN,
        "Inorganic crystals" + (", with attention over all atoms" if version == "v2" else ""),
    )


_HARDER = "Inorganic crystals, {}; stabler under pressure and at close approach"
_ALL = (
    _mp("mp-0a-small", "mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model", _PLAIN, "Inorganic crystals, small"),
    _mp("mp-0a-medium", "mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model", _PLAIN, "Inorganic crystals, medium"),
    _mp(
        "mp-0a-large", "mace_mp_0/2024-01-07-mace-128-L2_epoch-199.model", _PLAIN,
        "Inorganic crystals, large (mace-torch's own 'large' is the older MACE_MPtrj_2022.9.model)",
    ),
    _mp("mp-0b-small", "mace_mp_0b/mace_agnesi_small.model", _ZBL, _HARDER.format("small")),
    _mp("mp-0b-medium", "mace_mp_0b/mace_agnesi_medium.model", _ZBL, _HARDER.format("medium")),
    _mp("mp-0b2-small", "mace_mp_0b2/mace-small-density-agnesi-stress.model", _ZBL, _HARDER.format("small")),
    _mp("mp-0b2-medium", "mace_mp_0b2/mace-medium-density-agnesi-stress.model", _ZBL, _HARDER.format("medium")),
    _mp("mp-0b2-large", "mace_mp_0b2/mace-large-density-agnesi-stress.model", _ZBL, _HARDER.format("large")),
    _mp("mp-0b3-medium", "mace_mp_0b3/mace-mp-0b3-medium.model", _ZBL, "Inorganic crystals, medium; better phonons"),
    _mp(
        "mpa-0-medium", "mace_mpa_0/mace-mpa-0-medium.model", _ZBL, "As mp-0b3, with 3.5 million more crystals",
        level="PBE(+U), MPtrj and sAlex", megabytes=79.5,
    ),
    _asl(
        "omat-0-small", f"{_FOUNDATIONS}/mace_omat_0/mace-omat-0-small.model", "PBE(+U), OMat24", _MACE_MP,
        description="Inorganic crystals, small",
    ),
    _asl(
        "omat-0-medium", f"{_MP}/mace_omat_0/mace-omat-0-medium.model", "PBE(+U), OMat24", _MACE_MP,
        description="Inorganic crystals, medium",
    ),
    _asl(
        "matpes-pbe-0", f"{_FOUNDATIONS}/mace_matpes_0/MACE-matpes-pbe-omat-ft.model", "PBE, MatPES",
        "Kaplan et al., arXiv:2503.04070; " + _MACE_MP, description="Inorganic crystals; no +U",
    ),
    _asl(
        "matpes-r2scan-0", f"{_FOUNDATIONS}/mace_matpes_0/MACE-matpes-r2scan-omat-ft.model", "r2SCAN, MatPES",
        "Kaplan et al., arXiv:2503.04070; " + _MACE_MP, description="Inorganic crystals; r2SCAN",
    ),
    _off("small"),
    _off("medium"),
    _off("large"),
    _gptff(
        "v1", "a9620dc3d10ab395c5fa8034e80eb1f36e0435eb", 1.44,
        "fb798e5fa2fd6c159231d9c2ae23eb9b912ccc927eb8b9f34d473adc4b784323",
    ),
    _gptff(
        "v2", "320c24d3ce18f84e7114b34f163c629c0a20ad43", 2.06,
        "549e862d93b8fbc0ad052162bad90492040c68c196480427ae8266209a077900",
    ),
    Published(
        "reann-h2o", "reann", (1, 8), "unknown (its authors' water data)", "MIT",
        "Zhang, Xia, Jiang, PRL 127 (2021) 156002",
        f"{_REANN}/952f4f5181234ddfe9974a523f047a79be9edab8/reann/ASE/PES.pt",
        contains={"zbl": "no", "d3": "unknown"}, description="Liquid water, the example of REANN's ASE interface",
    ),
)  # fmt: skip

PUBLISHED: dict[str, Published] = {entry.name: entry for entry in _ALL}


def find(name: str) -> Published | None:
    """The entry of that name, as people write it ('MACE-MP-0b3 medium', 'MACE-MPA-0'), or None.

    Raises InputError where a name without its size stands for several.
    """
    plain = _plain(name)
    if plain in PUBLISHED:
        return PUBLISHED[plain]
    if plain in {entry.architecture for entry in _ALL}:
        return None  # 'mace' is an architecture
    family = [entry for key, entry in PUBLISHED.items() if plain and key.startswith(f"{plain}-")]
    if len(family) > 1:
        raise InputError("There are several published models of this name", got=name, allowed=[e.name for e in family])
    return family[0] if family else None


def suggestion(name: str) -> str:
    """`Did you mean ...?` for a name that is nearly one of these, or an empty string."""
    return nearest(_plain(name), PUBLISHED)


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", str(name).strip().lower())
