"""The messages strip: sentences with what can be done about them; they stay until dismissed."""

from __future__ import annotations

from typing import Any

from .action import Action
from .hub import Hub


def messages_of(hub: Hub, data_panel: Any = None) -> Action:
    """The messages strip of a session."""
    strip = Action(kind="messages")
    session = hub.session

    def draw(*_: Any) -> None:
        strip.items = [
            {
                "key": m.key,
                "text": m.text,
                "level": m.level,
                "actions": [list(a) for a in m.actions],
                "detail": m.detail,
            }
            for m in session.messages
        ]

    def heard(key: str, action: Any) -> None:
        if action == "dismiss":
            session.dispatch("dismiss", key=key)
        elif data_panel is not None and data_panel.on_message(key, action):
            return
        elif key.startswith("run.") and (run := hub.book.get(key.split(".")[1])) is not None:
            if action == "show":
                last = len(hub.trajectory(run)) - 1
                session.dispatch("select", source=run.name, frame=max(0, last), atoms=run.log.atoms)
            elif action == "resume":
                hub.client.resume(run.path)
                session.dispatch("clear", prefix=key)
                hub.book.sync()
            else:
                session.dispatch("tab", tab={"train": "finetune"}.get(run.kind, run.kind))

    strip.on(heard, session.report)
    session.watch(("messages",), draw)
    draw()
    return strip
