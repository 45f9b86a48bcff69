"""Keeps a workspace's timeline in a folder: made from the lake, brought up to date, opened by any process of the machine.

A *base* is everybody at one version of the lake. A *layer* on it is who has changed since: the whole history of those
people again, and everybody's place among the people of now. A base person who is in the layer does not count in the
base, so each is in one shard. When the layer grows large, a new base is made. All of it is disposable.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import orjson
from numpy.typing import NDArray

from gdp_core.lake import scan
from gdp_core.lake.connection import Lake
from gdp_core.lake.scan import Coded, Rows, Who
from gdp_core.lake.tables import PERSON_WHOLE
from gdp_core.timeline import files, streams
from gdp_core.timeline.arrays import MISSING, NOTHING, EventColumn, PersonColumn, Shard, Timeline, still
from gdp_core.timeline.files import Damaged
from gdp_core.timeline.kept import Kept
from gdp_core.timeline.values import Block, Values

_FORMAT = 3
_MOST_BYTES = 1 << 31  # of the values of columns, in memory or in files that are in use
_LARGE = 300_000  # rows of a layer that make a new base worth its while,
_SHARE = 10  # when they are more than one in so many
_KEPT = 3  # layers: a reader that opened one a moment ago still finds its columns
_MOST_NAMES = 65_535
_LATEST = "latest.json"


@dataclass(frozen=True, slots=True)
class Latest:
    """What the folder's newest timeline is made of: `since` is the lake's watermark, `complete_at` in microseconds."""

    format: int
    base: str
    layer: str
    version: int
    since: int
    complete_at: int

    @property
    def snapshot(self) -> str:
        """Its name in cache keys and saved reports."""
        return f"{self.version}-{self.complete_at}"


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """Everybody at one version of the lake. `since`: the first transaction that is not in it."""

    name: str
    version: int
    since: int
    names: tuple[str, ...]
    who: Who
    rows: dict[str, NDArray[Any]]  # offsets, at, code, flags, row


class Store:
    """The folder of a workspace's timeline."""

    def __init__(self, folder: Path, workspace_id: UUID) -> None:
        self.folder = folder / workspace_id.hex
        self.workspace_id = workspace_id

    def refresh(self, lake: Lake, *, since: int, complete_at: int, afresh: bool = False, wholly: bool = False) -> bool:
        """Bring the folder up to the lake. False where another process is at it, or nothing is new.

        `since` is the lake's watermark, and `complete_at` the instant in microseconds up to which it is complete;
        `afresh` makes a new base whatever there is, once nobody else is at it; `wholly`, nothing older is left.
        """
        with files.alone(self.folder, patiently=afresh) as mine:
            if not mine:
                return False
            version, latest = scan.version(lake), self.latest()
            is_same = latest and (latest.version, latest.complete_at) == (version, complete_at)
            if is_same and not afresh and self.is_whole():
                return False
            who = scan.who(lake, self.workspace_id, version)
            base = None if afresh else self._usable_base(lake, latest)
            changed = self._changed(lake, base, who, version) if base else None
            if base is None or changed is None:
                base = self._make_base(lake, who, version, since)
                changed = _Changed(who.people[:0], base.names, _no_rows())
            name = _named("layer", version)
            self._write_layer(base, changed, who, Latest(_FORMAT, base.name, name, version, since, complete_at))
            self._tidy(wholly)
            return True

    def latest(self) -> Latest | None:
        """What the newest timeline is; None when there is none that this release can read."""
        try:
            found = Latest(**orjson.loads((self.folder / _LATEST).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.format == _FORMAT else None

    def is_whole(self) -> bool:
        """Whether there is a timeline that can be opened. A file is read through once, and then only looked at."""
        try:
            self._read()
        except Damaged:
            return False
        return True

    def open(self, lake: Lake) -> Timeline:
        """The newest timeline; `lake` is asked when a report wants a further column. Raises Damaged when there is none."""
        latest, base, layer, facts = self._read()
        self._let_go({base.name, latest.layer})
        rows = base.rows
        everybody = rows["offsets"], rows["at"], rows["code"], rows["flags"]
        changed = layer["offsets"], layer["at"], layer["code"], layer["flags"]
        shards = (
            Shard(layer["base_people"], *everybody, layer["base_live"], base.name),
            Shard(layer["people"], *changed, layer["live"], latest.layer),
        )
        columns = _Columns(self, lake, latest, base, layer)
        names = tuple(facts["names"])
        return Timeline(latest.snapshot, latest.complete_at, names, layer["numbers"], shards, columns)

    def forget(self) -> None:
        """Remove everything: the next refresh makes it again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._let_go(set())

    def _let_go(self, standing: set[str]) -> None:
        """What this process made of a base or layer that was replaced is asked for no more, and would hold its files."""
        for name in _opened.pop(self.folder, set()) - standing:
            streams.drop(name)
            _kept.drop(name)
        _opened[self.folder] = standing

    def _read(self) -> tuple[Latest, _Base, dict[str, NDArray[Any]], dict[str, Any]]:
        """The newest timeline's base, layer and facts, of one refresh: while they were read they may be replaced."""
        latest = self.latest()
        while latest is not None:
            try:
                return latest, self._open_base(latest.base), *files.read(self.folder / latest.layer)
            except Damaged:
                before, latest = latest, self.latest()
                if latest == before:
                    raise
        raise Damaged(str(self.folder))

    # ------------------------------------------------------------------------------------------------- writing

    def _usable_base(self, lake: Lake, latest: Latest | None) -> _Base | None:
        """The base there is; None when it is damaged, or when the lake cannot tell any more what changed since."""
        try:
            base = self._open_base(latest.base) if latest else None
        except Damaged:
            return None
        return base if base and scan.has(lake, base.version) else None

    def _open_base(self, name: str) -> _Base:
        arrays, facts = files.read(self.folder / name)
        who = Who(arrays["actors"], arrays["owner"], arrays["people"], np.zeros(len(arrays["people"]), np.bool_))
        return _Base(name, facts["version"], facts["since"], tuple(facts["names"]), who, arrays)

    def _make_base(self, lake: Lake, who: Who, version: int, since: int) -> _Base:
        names = scan.names(lake, self.workspace_id, version)[:_MOST_NAMES]
        rows = scan.events(lake, self.workspace_id, version, who, names)
        name = _named("base", version)
        files.write(
            self.folder / name,
            {"actors": who.actors, "owner": who.owner, "people": who.people, **_shard(rows, who.people)},
            {"version": version, "since": since, "names": names},
        )
        return self._open_base(name)

    def _changed(self, lake: Lake, base: _Base, who: Who, version: int) -> "_Changed | None":
        """Who changed since the base, with all they ever did; None when so many did that a new base is due."""
        people = scan.touched(lake, self.workspace_id, base.version, version, base.who, who, base.since)
        people = people[np.isin(people, who.people)]
        names = (
            *base.names,
            *(name for name in scan.names(lake, self.workspace_id, version) if name not in base.names),
        )
        rows = scan.events(lake, self.workspace_id, version, who, names[:_MOST_NAMES], people)
        if len(rows.at) > max(_LARGE, len(base.rows["at"]) // _SHARE):
            return None
        gone = base.who.people[~np.isin(base.who.people, who.people)]
        return _Changed(np.union1d(people, gone), names[:_MOST_NAMES], rows)

    def _write_layer(self, base: _Base, changed: "_Changed", who: Who, latest: Latest) -> None:
        numbers = who.people
        left = np.isin(base.who.people, changed.people)
        base_people = np.where(left, 0, np.searchsorted(numbers, base.who.people)).astype(np.int32)
        internal = np.append(who.internal, False)
        people = changed.people[np.isin(changed.people, numbers)]
        place = np.searchsorted(numbers, people).astype(np.int32)
        files.write(
            self.folder / latest.layer,
            {
                "numbers": numbers,
                "base_people": base_people,
                "base_live": ~left & ~internal[base_people],
                "people": place,
                "live": ~internal[place],
                **_shard(changed.rows, people),
            },
            {"names": list(changed.names)},
        )
        files.write_text(self.folder / _LATEST, orjson.dumps(latest))

    def _tidy(self, wholly: bool) -> None:
        """Remove what no reader can be about to open; `wholly`, all that is not of the newest."""
        latest = self.latest()
        layers = sorted(self.folder.glob("layer-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        bases = sorted(self.folder.glob("base-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        kept = 0 if wholly else _KEPT
        for path in [
            *layers[kept:],
            *bases[max(0, kept - 1) :],
            *self.folder.glob(".base-*"),
            *self.folder.glob(".layer-*"),
        ]:
            if latest is None or path.name not in (latest.base, latest.layer):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("column-*"):
            if not path.with_name(path.name.removeprefix("column-")).exists():
                shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """Numbers of who changed or is gone, the names by code, and all the events of who is still there."""

    people: NDArray[np.int64]
    names: Sequence[str]
    rows: Rows


def _named(kind: str, version: int) -> str:
    """A name that no folder had before: what a reader opens is never replaced under its hands."""
    return f"{kind}-{version}-{uuid4().hex[:8]}"


def _no_rows() -> Rows:
    return Rows(*(np.empty(0, kind) for kind in (np.int64, np.int64, np.uint16, np.uint8, np.int64)))  # type: ignore[arg-type]


def _shard(rows: Rows, people: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The arrays of a shard of these people; those without events have no rows."""
    offsets = np.searchsorted(rows.person, people)
    offsets = np.append(offsets, len(rows.person)).astype(np.int64)
    return {"offsets": offsets, "at": rows.at, "code": rows.code, "flags": rows.flags, "row": rows.row}


_kept = Kept(_MOST_BYTES)
_opened: dict[Path, set[str]] = {}
"""Which base and layer of a folder this process opened last."""

_Filed = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""Arrays and facts, as files.py keeps them."""


class _Columns:
    """Further columns: read from the lake once, then kept beside the arrays they are aligned with."""

    def __init__(self, store: Store, lake: Lake, latest: Latest, base: _Base, layer: dict[str, NDArray[Any]]) -> None:
        self._store = store
        self._lake = lake
        self._latest = latest
        self._base = base
        self._layer = layer
        self._events: dict[str, EventColumn] = {}
        self._people: dict[str, PersonColumn] = {}
        self._whole: dict[str, NDArray[np.int64]] = {}

    def event(self, field: str) -> EventColumn:
        """A column of events, see arrays.Columns."""
        if field not in self._events:
            base, layer = self._base, self._latest.layer
            everybody, values = self._kept(base.name, field, base.rows["row"], lambda: self._of_base(field))
            changed, theirs = self._kept(layer, field, self._layer["row"], lambda: self._of_layer(field))
            merged, codes = Values(values).and_those(theirs)
            self._events[field] = EventColumn((everybody, np.append(codes, np.int32(MISSING))[changed]), merged)
        return self._events[field]

    def person(self, field: str) -> PersonColumn:
        """A column of people, see arrays.Columns."""
        if field not in self._people:
            base, version, workspace = self._base, self._latest.version, self._store.workspace_id
            made = partial(scan.person_column, self._lake, workspace, base.version, field)
            then, values = self._kept(base.name, f"person.{field}", base.who.people, made)
            changed = scan.person_column(self._lake, workspace, version, field, since=base.since)
            merged, recoded = Values(values).and_those(Block.read(changed.texts))
            recoded = np.append(recoded, np.int32(MISSING))
            codes = np.append(then, np.int32(MISSING))[self._in_base]
            place = np.searchsorted(self._layer["numbers"], changed.key)
            here = np.append(self._layer["numbers"], -1)[place] == changed.key
            codes[place[here]] = recoded[changed.codes[here]]
            self._people[field] = PersonColumn(codes, merged)
        return self._people[field]

    def whole(self, field: str) -> NDArray[np.int64] | None:
        """A column of whole numbers or instants of people, see arrays.Columns."""
        if field not in PERSON_WHOLE:
            return None
        if field not in self._whole:
            base, version, workspace = self._base, self._latest.version, self._store.workspace_id
            then = self._kept_whole(field, partial(scan.person_whole, self._lake, workspace, base.version, field))
            changed, told = scan.person_whole(self._lake, workspace, version, field, since=base.since)
            found = np.append(then, NOTHING)[self._in_base]
            place = np.searchsorted(self._layer["numbers"], changed)
            here = np.append(self._layer["numbers"], -1)[place] == changed
            found[place[here]] = told[here]
            self._whole[field] = still(found)
        return self._whole[field]

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """When rows were applied, see arrays.Columns."""
        base, latest, workspace = self._base, self._latest, self._store.workspace_id
        people = self._layer["numbers"][self._layer["people"]]

        def everybody() -> _Filed:
            return _told(*scan.events_known(self._lake, workspace, base.version, base.who), base.rows["row"])

        def changed() -> _Filed:
            who = scan.who(self._lake, workspace, latest.version)
            return _told(*scan.events_known(self._lake, workspace, latest.version, who, people), self._layer["row"])

        parts = (self._file(base.name, "known", everybody), self._file(latest.layer, "known", changed))
        return parts[0][0]["told"], parts[1][0]["told"]

    def _kept_whole(
        self, field: str, made: Callable[[], tuple[NDArray[np.int64], NDArray[np.int64]]]
    ) -> NDArray[np.int64]:
        """Of the people of the base, from its file or else made and kept."""

        people = self._base.who.people
        return self._file(self._base.name, f"whole.{field}", lambda: _told(*made(), people))[0]["told"]

    @cached_property
    def _in_base(self) -> NDArray[np.int64]:
        """The place of everybody of now among the people of the base; behind the last for who was not there."""
        then, numbers = self._base.who.people, self._layer["numbers"]
        place = np.searchsorted(then, numbers)
        return np.where(np.append(then, -1)[place] == numbers, place, len(then))

    def _of_base(self, field: str) -> Coded:
        return scan.event_column(self._lake, self._store.workspace_id, self._base.version, field, self._base.who)

    def _of_layer(self, field: str) -> Coded:
        who = scan.who(self._lake, self._store.workspace_id, self._latest.version)
        people = self._layer["numbers"][self._layer["people"]]
        return scan.event_column(self._lake, self._store.workspace_id, self._latest.version, field, who, people)

    def _kept(
        self, part: str, field: str, keys: NDArray[np.int64], made: Callable[[], Coded]
    ) -> tuple[NDArray[np.int32], Block]:
        """A column of a part, aligned with its keys, from its file or else made and kept."""

        def write() -> _Filed:
            coded = made()
            block = Block.read(coded.texts)
            return {"codes": _aligned(coded, keys), "starts": block.starts, "texts": block.texts}, {"made": uuid4().hex}

        arrays, facts = self._file(part, field, write)
        # What is found of a base's values serves every snapshot that stands on it; made again, they have other codes.
        key = (part, field, facts["made"])
        block = _kept.get(key, lambda: Block(arrays["starts"], arrays["texts"]), lambda made: 4 * made.nbytes)
        return arrays["codes"], block

    def _file(self, part: str, field: str, made: Callable[[], _Filed]) -> _Filed:
        """What is kept of a field beside a part; made where it is not there, by one process while others wait."""
        folder = self._store.folder / f"column-{part}" / blake2b(field.encode(), digest_size=12).hexdigest()
        try:
            return files.read(folder)
        except Damaged:
            pass
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # no room, or a folder that is only read: then nobody waits
                held.enter_context(files.alone(folder.parent, patiently=True))
            with contextlib.suppress(Damaged):
                return files.read(folder)
            arrays, facts = made()
            with contextlib.suppress(Damaged, OSError):  # no room, or the part is gone: then it is kept in memory alone
                files.write(folder, arrays, facts)
                return files.read(folder)
            return arrays, facts


def _told(keys: NDArray[np.int64], told: NDArray[np.int64], wanted: NDArray[np.int64]) -> _Filed:
    """What stands under each wanted key, NOTHING where there is none; `keys` ascend."""
    place = np.searchsorted(keys, wanted)
    found = np.append(keys, -1)[place] == wanted
    return {"told": np.where(found, np.append(told, NOTHING)[place], NOTHING)}, {}


def _aligned(coded: Coded, keys: NDArray[np.int64]) -> NDArray[np.int32]:
    """The code of each key; MISSING for one that has none."""
    if not len(keys) or not len(coded.key):
        return np.full(len(keys), MISSING, np.int32)
    order = np.argsort(coded.key, kind="stable")
    known = coded.key[order]
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, coded.codes[order[place]], np.int32(MISSING)).astype(np.int32)
