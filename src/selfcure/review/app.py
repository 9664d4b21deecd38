"""The review desk on the web: one page, and the requests that it makes."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, select_autoescape
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from selfcure.errors import SelfcureError
from selfcure.review import views
from selfcure.review.desk import MOST_AT_ONCE, Desk, NoSuchSample
from selfcure.review.queue import Query

T = TypeVar("T")

_HERE = Path(__file__).parent
_MOST_CARDS = 500
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


def _check_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or not name.isprintable():
        raise ValueError("a reviewer's name must be text that can be printed")
    return name


Reviewer = Annotated[str, Field(max_length=40), AfterValidator(_check_name)]
Action = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Row = Annotated[int, Field(ge=0, strict=True)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QueryBody(_Body):
    sort: str = "suspicion"
    reverse: bool = False
    state: str = "open"
    reviewer: Annotated[str, Field(max_length=40)] = ""
    given: int | None = None
    suggested: int | None = None
    split: str = ""
    source: int | None = None
    differs: bool = False
    changed: bool = False
    text: Annotated[str, Field(max_length=200)] = ""
    rows: Annotated[list[Row], Field(max_length=MOST_AT_ONCE)] | None = None


class NextBody(_Body):
    query: Annotated[str, Field(max_length=64)]
    start: int
    step: Annotated[int, Field(ge=-1, le=1)] = 1
    reviewer: Reviewer


class DecideBody(_Body):
    action: Action
    reviewer: Reviewer
    rows: Annotated[list[Row], Field(min_length=1, max_length=MOST_AT_ONCE)]
    kind: Annotated[str, Field(max_length=20)]
    weights: Annotated[dict[int, float], Field(max_length=1000)] | None = None
    settles: bool = False
    seconds: Annotated[float, Field(ge=0, le=86400)] | None = None


class UndoBody(_Body):
    action: Action
    reviewer: Reviewer


def make_app(desk: Desk) -> FastAPI:
    """The application; wrap it in a :class:`~selfcure.review.guard.Guard` before anybody may talk to it."""
    # Its own pages of documentation would fetch scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    _explain_errors(app)
    _add_page(app, desk)
    _add_reading(app, desk)
    _add_deciding(app, desk)
    _add_pictures(app, desk)
    return app


def _add_page(app: FastAPI, desk: Desk) -> None:
    templates = Environment(loader=PackageLoader("selfcure.review"), autoescape=select_autoescape())
    page = templates.get_template("desk.html").render(run=desk.run.path.absolute().name or str(desk.run.path))

    @app.get("/")
    def index() -> HTMLResponse:
        return HTMLResponse(page)


def _add_reading(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return views.about(desk)

    @app.get("/api/progress")
    def progress(reviewer: str = "") -> dict[str, Any]:
        return desk.progress(reviewer)

    @app.post("/api/query")
    def query(body: QueryBody) -> dict[str, Any]:
        asked = body.model_dump()
        asked["rows"] = None if body.rows is None else tuple(body.rows)
        name, num = desk.query(Query(**asked))
        return {"query": name, "num_rows": num}

    @app.get("/api/query/{name}")
    def cards(name: str, start: int, stop: int, reviewer: str = "") -> list[dict[str, Any]]:
        if not 0 <= start <= stop <= start + _MOST_CARDS:
            raise SelfcureError(f"start and stop must be 0 ≤ start ≤ stop ≤ start + {_MOST_CARDS}")
        return views.cards(desk, _of_list(lambda: desk.rows(name))[start:stop], reviewer)

    @app.post("/api/next")
    def next_(body: NextBody) -> dict[str, Any]:
        position, ahead = _of_list(
            lambda: desk.next(body.query, body.start, reviewer=body.reviewer, step=body.step or 1)
        )
        if position is None:
            return {"position": None}
        row = int(desk.rows(body.query)[position])
        return {"position": position, "ahead": ahead, "sample": views.detail(desk, row, body.reviewer)}

    @app.get("/api/sample/{row}")
    def sample(row: int, reviewer: str = "") -> dict[str, Any]:
        desk.check_row(row)
        return views.detail(desk, row, reviewer)

    @app.get("/api/sample/{row}/history")
    def history(row: int) -> dict[str, Any]:
        desk.check_row(row)
        return views.history(desk, row)

    @app.get("/api/dashboard")
    def dashboard() -> dict[str, Any]:
        return views.dashboard(desk)


def _add_deciding(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/decide")
    def decide(body: DecideBody) -> dict[str, Any]:
        rows = desk.decide(**body.model_dump())
        return {"cards": views.cards(desk, rows, body.reviewer), "progress": desk.progress(body.reviewer)}

    @app.post("/api/undo")
    def undo(body: UndoBody) -> dict[str, Any]:
        rows = desk.undo(**body.model_dump())
        return {"cards": views.cards(desk, rows, body.reviewer), "progress": desk.progress(body.reviewer)}


def _add_pictures(app: FastAPI, desk: Desk) -> None:
    def picture(version: str, row: int, read: Callable[[int], tuple[bytes, str]]) -> Response:
        desk.check_row(row)
        if version != desk.version:  # a cached address of another run on the same port
            raise HTTPException(404, "another run")
        try:
            data, kind = read(row)
        except SelfcureError as error:
            raise HTTPException(404, str(error)) from error
        return Response(data, media_type=kind, headers=_FOREVER)

    @app.get("/image/{version}/{row}")
    def image(version: str, row: int) -> Response:
        return picture(version, row, desk.pictures.image)

    @app.get("/thumbnail/{version}/{row}")
    def thumbnail(version: str, row: int) -> Response:
        return picture(version, row, desk.pictures.thumbnail)


def _of_list(read: Callable[[], T]) -> T:
    try:
        return read()
    except KeyError:
        # The page asks its question again; it may have been opened before this server was started.
        raise HTTPException(410, "this list is forgotten; ask again") from None


def _explain_errors(app: FastAPI) -> None:
    def problem(status: int, text: str) -> JSONResponse:
        return JSONResponse({"error": text}, status)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(SelfcureError)
    def mistake(request: Request, error: SelfcureError) -> JSONResponse:
        return problem(422, str(error))

    @app.exception_handler(NoSuchSample)
    def no_sample(request: Request, error: NoSuchSample) -> JSONResponse:
        return problem(404, str(error))

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()[0]
        return problem(422, f"{'.'.join(map(str, found['loc']))}: {found['msg']}")

    @app.exception_handler(sqlite3.Error)
    def not_saved(request: Request, error: sqlite3.Error) -> JSONResponse:
        return problem(503, f"the decision could not be saved: {error}")
