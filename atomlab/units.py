"""Units inside AtomLab: eV, Å, eV/Å, eV/Å^3 (tension positive), fs, K, amu.

Nothing is converted anywhere but in `data.read` and where numbers are printed for people. The constants are CODATA 2018
values, rounded where the definition is not exact; they differ from ASE's (CODATA 2014) by a few 1e-9.
"""

EV_PER_HARTREE = 27.211386245988
ANGSTROM_PER_BOHR = 0.529177210903
EV_PER_KCAL_MOL = 0.0433641153087705
EV_PER_KJ_MOL = 0.010364269656262175
EV_A3_PER_GPA = 1.0 / 160.21766208
EV_A3_PER_KBAR = EV_A3_PER_GPA / 10.0
KB = 8.617333262e-5  # eV/K
COULOMB = 14.3996  # e^2 / (4 pi eps0) in eV Å, the rounded value that the published ZBL models carry

ENERGY = {"eV": 1.0, "meV": 1e-3, "Ha": EV_PER_HARTREE, "kcal/mol": EV_PER_KCAL_MOL, "kJ/mol": EV_PER_KJ_MOL}
LENGTH = {"Å": 1.0, "A": 1.0, "bohr": ANGSTROM_PER_BOHR, "nm": 10.0}
PRESSURE = {"eV/Å^3": 1.0, "eV/A^3": 1.0, "GPa": EV_A3_PER_GPA, "kbar": EV_A3_PER_KBAR}
