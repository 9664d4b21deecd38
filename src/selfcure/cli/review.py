"""``selfcure review``."""

import os
import sys
from pathlib import Path

from selfcure.cli.output import Flag, counting, errors, one_line


def review(
    run: Path,
    /,
    *,
    data: Path | None = None,
    port: int = 8765,
    host: str = "127.0.0.1",
    prepare: Flag = False,
    device: str = "auto",
    no_browser: Flag = False,
) -> None:
    """See which labels of a run are doubtful, and settle them, on a web page that this machine serves.

    Every decision is in RUN/review.sqlite before the page shows it as saved. Ctrl-C stops the page; the same command
    goes on. 'selfcure labels export RUN --reviewed --out NEW' makes the corrected dataset folder.

    Parameters
    ----------
    run
        Run folder.
    data
        The dataset folder that the run was trained on, if it was moved.
    port
        Port to listen at (default 8765); 0 takes any that is free.
    host
        Address to listen at (default 127.0.0.1: this machine alone). Another one asks for the token in the printed link.
    prepare
        First run the trained network over all images: probabilities, nearest neighbours, duplicates. Once is enough;
        interrupted, it goes on where it was.
    device
        Where --prepare computes: auto (default), cpu, cuda.
    no_browser
        Do not open the page in a browser.
    """
    from selfcure.review.desk import Desk
    from selfcure.review.outputs import prepare as prepare_outputs
    from selfcure.review.samples import open_data
    from selfcure.review.server import serve
    from selfcure.runs import RunFolder

    folder = RunFolder(run)
    if prepare:
        with counting("preparing") as progress:
            prepared = prepare_outputs(
                folder,
                open_data(folder, data),
                device=device,
                progress=lambda what, done, total: progress(done, total),
            )
        if prepared.num_pieces_found:
            errors.print(
                f"--prepare went on where it was interrupted: {prepared.num_pieces_found:,} pieces of work were there",
                soft_wrap=True,
            )
    desk = Desk(folder, data)

    def ready(link: str) -> None:
        errors.print(f"{one_line(str(run))}: {len(desk.samples):,} samples; Ctrl-C stops", soft_wrap=True)
        if not desk.prepared:
            errors.print("no probabilities and neighbours yet; --prepare makes them", soft_wrap=True)
        print(link, flush=True)
        if not no_browser and sys.stdout.isatty():
            _open_browser(link)

    try:
        serve(desk, host=host, port=port, ready=ready)
    finally:
        decided = desk.book.counts()
        desk.close()
    errors.print(
        f"stopped; {decided['decided']:,} decided, {decided['disputed']:,} disputed, {decided['open']:,} open, all saved in "
        f"{one_line(str(desk.store.path))}",
        soft_wrap=True,
    )


def _open_browser(link: str) -> None:
    # On a machine without a display the standard library would start a browser in this very terminal.
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        import webbrowser

        webbrowser.open(link)
