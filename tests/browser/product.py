"""The product as `make run` starts it, in a folder of its own on free ports, and a way past its sign-in page."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from gdp_core import clock
from gdp_core.accounts import connections, keys, sessions, workspaces
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import Database, one, run
from jobs import ports
from jobs.login import runtime_url
from jobs.postgres import EmbeddedPostgres

ROOT = Path(__file__).parent.parent.parent
DEMO = "paperlark"
SECOND_BRAND = "hearthnote"
_PATIENCE = 1800.0  # a shared machine may be busy; nothing here asserts a time
_LINK = re.compile(r"Sign in at (http://127\.0\.0\.1:\d+\S*)")


@dataclass
class Product:
    """One data folder and, between `start` and `stop`, everything that runs on it."""

    folder: Path
    dashboard_port: int = field(default_factory=ports.choose)
    door_port: int = field(default_factory=ports.choose)
    process: subprocess.Popen[bytes] | None = None
    sign_in_address: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    _pools: dict[str, Database] = field(default_factory=dict)

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def door(self) -> str:
        return f"http://127.0.0.1:{self.door_port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "GDP_DATA_DIR": str(self.folder),
            "GDP_DASHBOARD_PORT": str(self.dashboard_port),
            "GDP_DOOR_PORT": str(self.door_port),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *options: str, name: str) -> None:
        """Start it and wait for the address to sign in at; the seconds that took are kept under `name`."""
        output = self.folder.with_name(f"{self.folder.name}-{name}.txt")
        began = time.monotonic()
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs", "--dashboard", "--with-parent", *options],
                cwd=ROOT,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while not (found := _LINK.search(output.read_text(errors="replace"))):
            said = output.read_text(errors="replace")[-3000:]
            assert self.process.poll() is None, f"the product ended with {self.process.returncode}:\n{said}"
            assert time.monotonic() - began < _PATIENCE, f"no sign-in address after {_PATIENCE:.0f} s:\n{said}"
            time.sleep(0.2)
        self.sign_in_address = found[1]
        self.seconds[name] = round(time.monotonic() - began, 1)

    def stop(self) -> list[str]:
        """ctrl-C; returns what is left behind of it, which should be nothing."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        if self.process is None:
            return []
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)
        self.seconds["stop"] = round(time.monotonic() - began, 1)
        self.process = None
        return self.leftovers()

    def leftovers(self) -> list[str]:
        """Processes that belong to the data folder, and ports somebody still listens on."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            try:
                ours = process.environ().get("GDP_DATA_DIR") == str(self.folder)
                words = " ".join(process.info["cmdline"] or [])
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if (ours or str(self.folder) in words) and process.pid != os.getpid():
                found.append(f"{process.pid} {words}")
        return found + [str(port) for port in (self.dashboard_port, self.door_port) if not ports.is_free(port)]

    @staticmethod
    def rest(seconds: float) -> None:
        """Wait for the product to do something by itself."""
        time.sleep(seconds)

    def memory(self) -> int:
        """Bytes of everything that runs, shared pages counted once."""
        assert self.process is not None
        root, total = psutil.Process(self.process.pid), 0
        for each in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):  # one that ended meanwhile
                total += each.memory_full_info().pss
        return total

    def command(self, *arguments: str) -> str:
        """An admin command's output."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def pool(self, role: str) -> Database:
        """A pool on its database."""
        if role not in self._pools:
            urls = EmbeddedPostgres(self.folder).urls()
            assert urls is not None, "the product's Postgres does not answer"
            self._pools[role] = Database(runtime_url(urls), role, size=2)  # type: ignore[arg-type]
        return self._pools[role]

    def workspace(self, name: str, *, slug: str | None = None) -> str:
        """A new, empty workspace's slug, which begins with `slug` or its name."""
        slug = f"{slug or name.lower().replace(' ', '-')}-{uuid.uuid4().hex[:6]}"
        workspaces.create(self.pool("gdp_gate"), None, slug=slug, name=name, now=clock.now())
        return slug

    def deliver(self, address: str, **request: Any) -> httpx.Response:
        """What the door answers; like any vendor's client it is asked again while it says to come back."""
        while (answer := httpx.post(address, timeout=60, **request)).status_code == 503:
            self.rest(0.5)
        return answer

    def tracking_key(self, slug: str, name: str, kind: keys.Kind = "server", role: Role | None = None) -> str:
        """A key of a new Segment source of that name; with a role it asks, too."""
        workspace_id, now = self.workspace_id(slug), clock.now()
        who = Principal.system(workspace_id)
        with self.pool("gdp_web").transaction(workspace_id) as session:
            made = connections.connect(session, who, source="segment", name=name, now=now)
            return keys.create(session, who, source_id=made.id, name=name, kind=kind, role=role, now=now).secret

    def workspace_id(self, slug: str) -> uuid.UUID:
        with self.pool("gdp_gate").transaction(None, read_only=True) as session:
            found: uuid.UUID = one(session, "SELECT id FROM workspace WHERE slug = :slug", slug=slug).id
        return found

    def member(self, role: str, *slugs: str, name: str = "") -> uuid.UUID:
        """Somebody with that role in those workspaces."""
        user_id, now = uuid.uuid4(), clock.now()
        with self.pool("gdp_gate").transaction(None) as session:
            run(
                session,
                "INSERT INTO app_user (id, email, name, failed_sign_ins, created_at) VALUES (:id, :email, :name, 0, :now)",
                id=user_id,
                name=name,
                email=f"{role.lower()}-{user_id.hex[:6]}@team.example",
                now=now,
            )
        for slug in slugs:
            workspace_id = self.workspace_id(slug)
            with self.pool("gdp_web").transaction(workspace_id) as session:
                run(
                    session,
                    "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:user, :ws, :role, :now)",
                    user=user_id,
                    ws=workspace_id,
                    role=role,
                    now=now,
                )
        return user_id

    def first_owner(self) -> uuid.UUID:
        """Whom the printed link was for."""
        with self.pool("gdp_gate").transaction(None, read_only=True) as session:
            found: uuid.UUID = one(session, "SELECT id FROM app_user ORDER BY created_at, id LIMIT 1").id
        return found

    def session(self, user_id: uuid.UUID) -> str:
        """The cookie of a browser that this user has just signed in with."""
        return sessions.start(self.pool("gdp_gate"), user_id, how="test", now=clock.now())
