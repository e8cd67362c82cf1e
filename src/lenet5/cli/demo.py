"""The command `demo`."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from pathlib import Path

import click

from ..storage import shown
from .group import echo, main
from .parameters import UserPath

_HELP = """Open a page to draw on, where LeNet-5 reads the digit while it is drawn.

The page shows every layer of the network of 1998 and of today's. Both run in the browser: nothing that is drawn
leaves it, and only this machine can open the page. Ctrl-C ends the command.

--save writes the page to one file instead, which works from disk, without a network and without this package.
"""


@main.command(help=_HELP)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port at 127.0.0.1; 0 is a free one."
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@click.option("--save", type=UserPath(dir_okay=False), help="Write the page to this file, and end.")
def demo(port: int, no_browser: bool, save: Path | None) -> None:
    """Run the command `demo`; see its help."""
    from .. import demo as room

    if save is not None:
        from ..storage import write_file

        write_file(save, room.page().encode())
        echo(f"page written to {shown(save)}")
        return
    with room.Server(port) as server, contextlib.suppress(KeyboardInterrupt):
        echo(f"{server.address}  (Ctrl-C ends)")
        if not no_browser:  # in a thread, because a browser in the terminal returns only when it is closed
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        server.serve_forever()
