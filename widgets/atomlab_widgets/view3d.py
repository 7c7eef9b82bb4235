"""The one 3D view of the Lab: shows the session's selection, whoever made it; marks atoms; an atom clicked is marked.

nglview draws. Everything goes through `view.send`, never through `view._js` and the like: those keep every message and
send all of them again each time. Python holds the truth (frame, colours, marks) and pushes it whole whenever a page
(again) has drawn the view, because a reloaded page has lost colours and marks.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from .action import Action, Player, box, button, guarded, html, select
from .frames import SYMBOLS, Frame, pdb, turned
from .markup import VIRIDIS, colour_bar

if TYPE_CHECKING:
    from .hub import Hub

COLOURS = (("element", "element"), ("force", "force |F| (eV/Å)"), ("similarity", "similarity to training"))
SHOW = """
var s=this.stage, me=this; me.alSeq=%(seq)d;
s.setParameters({backgroundColor:'%(background)s', tooltip:false, cameraType:'orthographic'});
s.loadFile(new Blob([%(pdb)s],{type:'text/plain'}),{ext:'pdb', defaultRepresentation:false}).then(function(c){
 if(me.alSeq!==%(seq)d){s.removeComponent(c);return}
 s.compList.slice().forEach(function(o){if(o!==c)s.removeComponent(o)});
 me.alPaint=function(colours,domain,marks){
  c.removeAllRepresentations();
  if(colours){for(var i=0;i<colours.length;i++)c.structure.atomStore.bfactor[i]=colours[i];}
  var how=colours?{colorScheme:'bfactor',colorScale:%(scale)s,colorDomain:domain}:{colorScheme:'element'};
  c.addRepresentation('spacefill',Object.assign({radiusScale:0.42,sphereDetail:1},how));
  if(%(bonds)s)c.addRepresentation('licorice',Object.assign({radiusScale:0.35,multipleBond:'off'},how));
  if(%(cell)s){
   var u=c.structure.unitcell;
   if(u&&!u.alData){u.alData=u.getData.bind(u);
    u.getData=function(t){return u.alData(t,{colorValue:'%(line)s',radius:0.05})}}
   c.addRepresentation('unitcell',{disablePicking:true});
  }
  if(marks.length)c.addRepresentation('spacefill',{sele:'@'+marks.join(','),radiusScale:0.56,color:'#e69f00',sphereDetail:1});
 };
 me.alPaint(%(colours)s,%(domain)s,%(marks)s);
 %(fit)s
});
"""
FIT = """
function closer(){s.viewer.camera.position.z*=0.78;s.viewer.requestRender();
 if(!me.alTurned){me.alTurned=true;s.viewerControls.spin([0,1,0],0.35);s.viewerControls.spin([1,0,0],0.22)}}
var n=0,last='',tries=0;(function f(){if(me.alSeq!==%d||++tries>40)return;me.handleResize();s.handleResize();
var k=c.reprList.length,key=s.viewer.width+'x'+s.viewer.height+':'+k;
if(k&&s.viewer.width>50&&key===last){s.autoView(0);closer();if(++n>1)return}last=key;setTimeout(f,150)})();
"""
PAINT = "if(this.alPaint)this.alPaint(%s,%s,%s);"
RESIZE = """
this.handleResize();var s=this.stage;s.handleResize();s.autoView(0);s.viewer.camera.position.z*=0.78;
s.viewer.requestRender()
"""


class View3D:
    """The widget is `View3D.widget`; call `load()` (imports nglview) once the skeleton is on screen."""

    def __init__(self, hub: Hub):
        self.hub, self.session = hub, hub.session
        self.view: Any = None
        self._lock = threading.RLock()
        self._shown: Frame | None = None
        self._seq = int(time.time()) % 100000  # a new kernel's numbers differ from those of an old page
        self._pushed = 0.0
        self._late: threading.Timer | None = None
        self._waiting: threading.Timer | None = None
        self._dark = hub.dark
        self.drawn = 0  # frames sent, for the tests
        self.shown = threading.Event()  # a page has drawn the view
        self.title = html("<b>Structure</b>", "al-structure")
        self.canvas = ipywidgets.Box(
            [html("<div class=al-skeleton style='height:344px;width:360px'>loading the 3D view</div>")]
        )
        self.canvas.add_class("al-canvas")
        self.player = Player()
        self.row = Action()
        self.fact = html("", "al-quiet")
        self.widget = box(self.title, self.canvas, self.player, self.row, self.fact, css="al-view")
        self.player.observe(guarded(self._asked, hub.session.report), "asked")
        self.row.on(self._clicked, hub.session.report)
        self.session.watch(("selection", "data", "colour"), lambda old, new: self.refresh(new.data != old.data))
        self._controls()

    def load(self) -> None:
        """Import nglview and put its view in place of the skeleton."""
        import nglview

        # No component and no player of nglview's own: frames, colours and marks are pushed by us.
        self.view = nglview.NGLWidget()
        self.view._ngl_full_stage_parameters = {"backgroundColor": self.background, "sampleLevel": 0}
        self.view.layout.width = "100%"
        self.view.layout.height = "344px"
        self.view.on_msg(self._heard)
        self.view.observe(guarded(self._picked, self.session.report), "picked")
        self.view.observe(lambda _: self.soon(0.2), "_ngl_original_stage_parameters")
        self.canvas.children = (self.view,)

    @property
    def background(self) -> str:
        return "#111111" if self.hub.dark else "#ffffff"

    # --- what to show ------------------------------------------------------------------------------------------------
    def refresh(self, force: bool = False) -> None:
        """Show the session's selection; only what has changed is sent."""
        with self._lock:
            chosen = self.session.selection
            count, frame = self.hub.frame(chosen.source, chosen.frame)
            self.player.count = count
            self.player.follow = chosen.follow
            if count:
                self.player.frame = min(chosen.frame, count - 1)
            self._controls()
            if frame is None:
                self.title.value = f"<b>Structure</b> <span class=al-quiet>{self.hub.no_frame(chosen.source)}</span>"
                return
            self.title.value = self.hub.frame_title(chosen, count, frame)
            self._facts(frame)
            if self.view is None:
                return
            old, self._shown = self._shown, frame
            if force or old is None or not _alike(old, frame):
                self._whole(fit=old is None or force or len(old.numbers) != len(frame.numbers))
            else:
                if old is not frame:
                    self._move(frame)
                self._paint()

    def _whole(self, fit: bool = True) -> None:
        frame = self._shown
        if frame is None or self.view is None:
            return
        self._seq += 1
        colours, domain, marks = self._colours(frame)
        bonds = len(frame.numbers) <= 500 and not frame.cell.any()
        code = SHOW % {
            "seq": self._seq, "pdb": json.dumps(pdb(frame)), "background": self.background, "line": "#8899aa",
            "scale": json.dumps(VIRIDIS), "cell": json.dumps(bool(turned(frame)[1][0])), "bonds": json.dumps(bonds),
            "colours": colours, "domain": domain, "marks": marks, "fit": FIT % self._seq if fit else "",
        }  # fmt: skip
        self._send(code)
        self.drawn += 1

    def _move(self, frame: Frame) -> None:
        """New coordinates of the same atoms, at most 8 a second (the server drops messages silently beyond 1000/s)."""
        pause = 0.12 if len(frame.numbers) <= 2000 else 0.7
        wait = self._pushed + pause - time.monotonic()
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if wait > 0:  # the last one is always sent
            self._late = threading.Timer(wait, self._push)
            self._late.daemon = True
            self._late.start()
        else:
            self._push()

    def _push(self) -> None:
        with self._lock:
            if self._shown is not None and self.view is not None:
                self._pushed = time.monotonic()
                self.view.set_coordinates({0: np.ascontiguousarray(turned(self._shown)[0], dtype="f4")})
                self.drawn += 1

    def _paint(self) -> None:
        if self._shown is not None:
            paint = PAINT % self._colours(self._shown)
            if paint != getattr(self, "_painted", ""):
                self._painted = paint
                self._send(paint)

    def _colours(self, frame: Frame) -> tuple[str, str, str]:
        """JavaScript values: numbers per atom or null, their domain, the marked atoms. Numbers only, never text."""
        marks = json.dumps([a for a in self.session.selection.atoms if a < len(frame.numbers)])
        values = self.hub.colour_values(self.session.state, frame)
        if values is None or not np.isfinite(values).any():
            return "null", "null", marks
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return (
            json.dumps([round(float(v), 5) for v in np.nan_to_num(values, nan=low)]),
            json.dumps([low, high or 1.0]),
            marks,
        )

    def _send(self, code: str) -> None:
        if self.view is not None:
            message = {
                "type": "call_method",
                "target": "Widget",
                "methodName": "executeCode",
                "args": [code],
                "kwargs": {},
            }
            self.view.send(message)

    # --- what the browser says ---------------------------------------------------------------------------------------
    def _heard(self, _: Any, message: dict, buffers: Any) -> None:
        if message.get("type") == "request_loaded":
            self.soon(0.1)

    def soon(self, delay: float) -> None:
        """Push everything again in a moment: a page has just drawn the view."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.cancel()  # the view and the page around it both say so: once is enough
            self._waiting = threading.Timer(delay, guarded(self.again, self.session.report))
            self._waiting.daemon = True
            self._waiting.start()

    def again(self) -> None:
        """Send the whole picture once more."""
        self.shown.set()
        with self._lock:
            self._painted = ""
            if self._shown is None:
                self.refresh(True)
            else:
                self._whole()

    def fit(self) -> None:
        """The space around has changed, or the theme."""
        if self._dark != self.hub.dark:
            self._dark = self.hub.dark
            self.soon(0.1)
        else:
            self._send(RESIZE)

    def _picked(self, change: Any) -> None:
        atom = (change.new or {}).get("atom1")
        if atom is not None:  # one click may raise two events: marking twice is the same as once
            self.session.dispatch("mark", atoms=[int(atom["index"])])

    def _asked(self, change: Any) -> None:
        if change.new:
            self.session.dispatch("select", source=self.session.selection.source, frame=change.new["frame"])

    def _clicked(self, id: str, value: Any) -> None:
        if id == "colour":
            self.session.dispatch("colour", colour=value)
        elif id == "fit":
            self.fit()
        elif id == "unmark":
            self.session.dispatch("mark", atoms=[])
        elif id == "live":
            self.hub.follow(self.session.selection.source)

    def _controls(self) -> None:
        chosen = self.session.selection
        run = self.hub.book.get(chosen.source)
        live = run is not None and run.kind == "md" and run.active
        self.row.show(
            select("colour", "colour by", COLOURS, self.session.colour),
            button("fit", "fit", title="bring the whole structure into sight"),
            button("live", "live", on=chosen.follow, title="stay at the newest frame of the running MD")
            if live
            else None,
            button("unmark", f"unmark {len(chosen.atoms)}") if chosen.atoms else None,
        )

    def _facts(self, frame: Frame) -> None:
        """One line about the marked atoms, or about the colour bar."""
        atoms = [a for a in self.session.selection.atoms if a < len(frame.numbers)]
        bar = self._bar(frame)
        if len(atoms) == 1:
            a = atoms[0]
            parts = [f"<b>atom {a}</b>: {SYMBOLS[frame.numbers[a]]}"]
            if frame.forces is not None:
                parts.append(f"|F| {np.linalg.norm(frame.forces[a]):.2f} eV/Å")
            parts.append(self.hub.atom_fact(self.session.selection, a))
            self.fact.value = ", ".join(p for p in parts if p) + bar
        elif atoms:
            self.fact.value = (
                f"<b>{len(atoms)} atoms</b> marked: "
                f"{', '.join(map(str, atoms[:10]))}{' ...' if len(atoms) > 10 else ''}"
            ) + bar
        else:
            self.fact.value = bar or "click an atom to see what it is"

    def _bar(self, frame: Frame) -> str:
        colour = self.session.colour
        if colour == "element":
            return ""
        values = self.hub.colour_values(self.session.state, frame)
        if values is None or not np.isfinite(values).any():
            missing = "forces" if colour == "force" else "similarity (make a map)"
            return f"<div>This frame has no {missing}: coloured by element.</div>"
        return f"<div>{colour_bar(values, 'eV/Å' if colour == 'force' else '(no unit)')}</div>"


def _alike(a: Frame, b: Frame) -> bool:
    """Whether new coordinates are enough to get from one to the other."""
    return (
        a.numbers.shape == b.numbers.shape
        and np.array_equal(a.numbers, b.numbers)
        and np.allclose(a.cell, b.cell, atol=1e-6)
    )
