"""People who sign in: first start, passwords, throttling, sessions, links, members, invitations and workspaces."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import exc

from gdp_core import vault
from gdp_core.accounts import connections, keys, members, passwords, record, sessions, users, workspaces
from gdp_core.accounts.audit import verify
from gdp_core.accounts.roles import Principal, Role, masked
from gdp_core.accounts.throttle import Throttle, delay_after
from gdp_core.accounts.tokens import hash_of
from gdp_core.db import one, rows, run
from gdp_core.errors import Forbidden, GrowthError, InvalidInput, NoTenant, NotFound, Unauthorised
from gdp_core.settings import settings
from tests.conftest import NOW, TestDatabase

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys of the test's own, and no failed attempts from the tests before."""
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(users, "_addresses", Throttle(free=50))
    monkeypatch.setattr(users, "_strangers", Throttle(free=5))
    settings.cache_clear()
    vault._keyring.cache_clear()
    yield
    settings.cache_clear()
    vault._keyring.cache_clear()


def person(
    database: TestDatabase, email: str, *, workspace: uuid.UUID | None = None, role: Role = Role.OWNER
) -> uuid.UUID:
    """An account with PASSWORD, and a membership."""
    user_id = users.create_user(database.gate, email, now=NOW)
    users.reset_password(database.gate, email, PASSWORD, now=NOW)
    if workspace:
        with database.gate.transaction(workspace) as session:
            run(
                session,
                "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:user, :ws, :role, :now)",
                user=user_id,
                ws=workspace,
                role=role,
                now=NOW,
            )
    return user_id


def acting(user_id: uuid.UUID, email: str, workspace: uuid.UUID, role: Role = Role.OWNER) -> Principal:
    """A principal as the frame would make it."""
    return Principal(user_id, email, workspace, role, "10.0.0.1")


def audited(database: TestDatabase, workspace: uuid.UUID) -> list[str]:
    """The actions in a workspace's log, oldest first; the chain is intact."""
    with database.web.transaction(workspace) as session:
        assert verify(session) is None
        return [row.action for row in rows(session, "SELECT action FROM audit_log ORDER BY seq")]


class TestFirstStart:
    def test_makes_one_owner_with_a_workspace_and_a_link_that_signs_in(self, database: TestDatabase) -> None:
        path = users.first_start(database.gate, now=NOW)
        assert path
        token = path.removeprefix("/login/")
        assert sessions.peek_link(database.gate, token, NOW).email == users.FIRST_OWNER
        user_id = users.enter_by_link(database.gate, token, now=NOW)
        cookie = sessions.start(database.gate, user_id, how="link", now=NOW)
        who = sessions.current(database.gate, cookie, NOW)
        assert who
        assert [(m.slug, m.role) for m in who.memberships] == [("main", Role.OWNER)]
        assert audited(database, who.memberships[0].workspace_id) == ["members.join", "sign_in"]

    def test_again_makes_a_fresh_link_and_the_old_one_dies(self, database: TestDatabase) -> None:
        first, second = (users.first_start(database.gate, now=NOW) for _ in range(2))
        assert first
        assert second
        assert first != second
        with pytest.raises(Unauthorised):
            sessions.peek_link(database.gate, first.removeprefix("/login/"), NOW)
        assert len(users.list_users(database.gate)) == 1

    def test_many_at_once_make_one_owner(self, database: TestDatabase) -> None:
        threads = [
            threading.Thread(target=users.first_start, args=(database.gate,), kwargs={"now": NOW}) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(users.list_users(database.gate)) == 1

    def test_with_a_password_there_is_no_link(self, database: TestDatabase) -> None:
        users.first_start(database.gate, now=NOW)
        users.reset_password(database.gate, users.FIRST_OWNER, PASSWORD, now=NOW)
        assert users.first_start(database.gate, now=NOW) is None

    def test_adopts_workspaces_nobody_is_in_and_only_those(self, database: TestDatabase) -> None:
        demo = database.workspace("demo", kind="demo")
        taken = database.workspace("taken")
        person(database, "eve@x.test", workspace=taken)
        users.first_start(database.gate, now=NOW + timedelta(days=1))
        with database.gate.transaction(None) as session:
            eve = one(session, "SELECT id FROM app_user WHERE email = 'eve@x.test'").id
            found = [member.slug for member in record.memberships(session, eve)]
        assert found == ["demo", "taken"]
        assert audited(database, demo) == ["members.join"]
        assert audited(database, taken) == []


class TestLinks:
    def _link(self, database: TestDatabase) -> str:
        return (users.first_start(database.gate, now=NOW) or "").removeprefix("/login/")

    def test_works_once(self, database: TestDatabase) -> None:
        token = self._link(database)
        users.enter_by_link(database.gate, token, now=NOW)
        with pytest.raises(Unauthorised):
            users.enter_by_link(database.gate, token, now=NOW)

    def test_two_at_once_sign_in_one(self, database: TestDatabase) -> None:
        token = self._link(database)
        outcomes: list[str] = []

        def use() -> None:
            try:
                users.enter_by_link(database.gate, token, now=NOW)
                outcomes.append("in")
            except Unauthorised:
                outcomes.append("refused")

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["in", "refused", "refused", "refused"]

    def test_expires(self, database: TestDatabase) -> None:
        token = self._link(database)
        with pytest.raises(Unauthorised):
            users.enter_by_link(database.gate, token, now=NOW + sessions.LINK_LASTS)

    def test_takes_name_address_and_password(self, database: TestDatabase) -> None:
        token = self._link(database)
        users.enter_by_link(database.gate, token, email="Ann@Acme.test", name=" Ann  Lee ", password=PASSWORD, now=NOW)
        assert users.check_password(database.gate, "ann@acme.test", PASSWORD, ip=None, now=NOW)
        assert users.list_users(database.gate)[0].name == "Ann Lee"

    @pytest.mark.parametrize(
        "bad",
        [{"email": "nonsense"}, {"email": "ann@acme.test", "password": "short"}, {"password": PASSWORD}],
    )
    def test_what_cannot_be_used_leaves_the_link_alive(self, database: TestDatabase, bad: dict[str, str]) -> None:
        token = self._link(database)
        with pytest.raises(InvalidInput):
            users.enter_by_link(database.gate, token, **bad, now=NOW)
        assert users.enter_by_link(database.gate, token, now=NOW)

    def test_does_not_change_an_account_that_has_a_password(self, database: TestDatabase) -> None:
        person(database, "ann@acme.test")
        token = users.sign_in_link(database.gate, "ann@acme.test", now=NOW).removeprefix("/login/")
        users.enter_by_link(database.gate, token, email="eve@acme.test", password="something else", now=NOW)
        assert users.check_password(database.gate, "ann@acme.test", PASSWORD, ip=None, now=NOW)

    def test_for_nobody_is_one_sentence(self, database: TestDatabase) -> None:
        with pytest.raises(NotFound, match=r"nobody@x\.test"):
            users.sign_in_link(database.gate, "nobody@x.test", now=NOW)

    @given(st.text(max_size=300))
    def test_any_text_has_a_hash(self, text: str) -> None:
        assert len(hash_of(text)) == 32


class TestPasswords:
    @pytest.mark.parametrize("bad", ["", "short", "a" * 201, "aaaaaaaaaaaa", "ann@acme.test"])
    def test_weak_ones_are_refused(self, bad: str) -> None:
        with pytest.raises(InvalidInput):
            passwords.hashed(bad, email="ann@acme.test")

    def test_are_argon2id_and_salted(self) -> None:
        first, second = passwords.hashed(PASSWORD), passwords.hashed(PASSWORD)
        assert first.startswith("$argon2id$")
        assert first != second
        assert passwords.matches(first, PASSWORD)
        assert not passwords.matches(first, PASSWORD + "!")

    def test_an_unknown_account_costs_as_much_as_a_wrong_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        verified: list[str] = []

        class Counting:
            def verify(self, stored: str, password: bytes) -> bool:
                verified.append(stored)
                return True

        monkeypatch.setattr(passwords, "_hasher", Counting())
        assert not passwords.matches(None, PASSWORD)
        assert verified == [passwords._nobody]

    def test_changing_asks_for_the_current_one_and_ends_other_sessions(self, database: TestDatabase) -> None:
        ann = person(database, "ann@acme.test")
        here, there = (sessions.start(database.gate, ann, how="password", now=NOW) for _ in range(2))
        who = sessions.current(database.gate, here, NOW)
        assert who
        with pytest.raises(Unauthorised):
            users.set_password(
                database.gate, ann, current="wrong", new="another password", keep_session=who.session_id, now=NOW
            )
        users.set_password(
            database.gate, ann, current=PASSWORD, new="another password", keep_session=who.session_id, now=NOW
        )
        assert sessions.current(database.gate, here, NOW)
        assert sessions.current(database.gate, there, NOW) is None
        assert users.check_password(database.gate, "ann@acme.test", "another password", ip=None, now=NOW) == ann

    def test_a_hash_of_weaker_parameters_is_renewed(
        self, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from argon2 import PasswordHasher

        person(database, "ann@acme.test")
        monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1))
        users.check_password(database.gate, "ann@acme.test", PASSWORD, ip=None, now=NOW)
        with database.gate.transaction(None) as session:
            assert "t=3" in one(session, "SELECT password_hash FROM app_user").password_hash


class TestThrottle:
    def _fail(self, database: TestDatabase, email: str, now: datetime, ip: str | None = None) -> str:
        with pytest.raises(GrowthError) as refusal:
            users.check_password(database.gate, email, "wrong password", ip=ip, now=now)
        return str(refusal.value)

    @pytest.mark.parametrize("email", ["ann@acme.test", "nobody@acme.test"])
    def test_an_account_waits_longer_each_time_and_a_stranger_alike(self, database: TestDatabase, email: str) -> None:
        person(database, "ann@acme.test")
        said = [self._fail(database, email, NOW) for _ in range(6)]
        assert said[:5] == ["The e-mail address or the password is wrong."] * 5
        assert said[5] == "Too many attempts: try again in 15 seconds."
        later = NOW + timedelta(seconds=16)
        assert "wrong" in self._fail(database, email, later)
        assert self._fail(database, email, later) == "Too many attempts: try again in 30 seconds."

    def test_the_right_password_has_to_wait_too_and_then_clears(self, database: TestDatabase) -> None:
        ann = person(database, "ann@acme.test")
        for _ in range(5):
            self._fail(database, "ann@acme.test", NOW)
        with pytest.raises(users.TooManyAttempts) as refusal:
            users.check_password(database.gate, "ann@acme.test", PASSWORD, ip=None, now=NOW)
        assert refusal.value.retry_after == 15
        later = NOW + timedelta(seconds=16)
        assert users.check_password(database.gate, "ann@acme.test", PASSWORD, ip=None, now=later) == ann
        sessions.start(database.gate, ann, how="password", now=later)
        assert "wrong" in self._fail(database, "ann@acme.test", later)

    def test_failures_are_forgotten_after_an_hour(self, database: TestDatabase) -> None:
        person(database, "ann@acme.test")
        for _ in range(5):
            self._fail(database, "ann@acme.test", NOW)
        assert "wrong" in self._fail(database, "ann@acme.test", NOW + timedelta(hours=2))
        assert "wrong" in self._fail(database, "ann@acme.test", NOW + timedelta(hours=2))

    def test_one_address_guessing_at_many_accounts_is_stopped(self, database: TestDatabase) -> None:
        person(database, "ann@acme.test")
        said = [self._fail(database, f"user{n}@acme.test", NOW, ip="10.0.0.9") for n in range(51)]
        assert "Too many" in said[50]
        assert all("wrong" in text for text in said[:50])
        assert users.check_password(database.gate, "ann@acme.test", PASSWORD, ip="10.0.0.8", now=NOW)

    def test_an_own_account_does_not_wash_away_guesses(self) -> None:
        throttle = Throttle(free=3)
        for _ in range(2):
            assert not throttle.attempt("ip", NOW)
        assert not throttle.attempt("ip", NOW)
        throttle.succeeded("ip", NOW)
        assert not throttle.attempt("ip", NOW)
        assert throttle.attempt("ip", NOW) == timedelta(seconds=15)

    def test_memory_is_bounded(self) -> None:
        throttle = Throttle(free=1, size=10)
        for number in range(1000):
            throttle.attempt(str(number), NOW)
        assert len(throttle._records) == 10

    @given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=50))
    def test_delays_never_shrink_and_have_a_limit(self, failures: int, free: int) -> None:
        assert delay_after(failures, free=free) <= delay_after(failures + 1, free=free) <= timedelta(minutes=15)

    def test_attempts_at_once_get_no_more_tries(self, database: TestDatabase) -> None:
        person(database, "ann@acme.test")
        said: list[str] = []
        threads = [
            threading.Thread(target=lambda: said.append(self._fail(database, "ann@acme.test", NOW))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum("wrong" in text for text in said) == 5

    def test_a_switched_off_account_looks_like_a_wrong_password(self, database: TestDatabase) -> None:
        ann = person(database, "ann@acme.test")
        cookie = sessions.start(database.gate, ann, how="password", now=NOW)
        users.disable(database.gate, "ann@acme.test", now=NOW)
        assert sessions.current(database.gate, cookie, NOW) is None
        with pytest.raises(Unauthorised, match="wrong"):
            users.check_password(database.gate, "ann@acme.test", PASSWORD, ip=None, now=NOW)
        with pytest.raises(Unauthorised):
            sessions.start(database.gate, ann, how="password", now=NOW)

    @hypothesis_settings(deadline=None)
    @given(st.text(max_size=80), st.text(max_size=250))
    def test_hostile_text_is_only_ever_refused(self, email: str, password: str) -> None:
        assert not passwords.matches(None, password)
        with suppress(InvalidInput):
            assert "@" in users.normal_email(email)


class TestSessions:
    def test_only_the_hash_of_the_token_is_kept(self, database: TestDatabase) -> None:
        cookie = sessions.start(database.gate, person(database, "ann@acme.test"), how="password", now=NOW)
        assert len(cookie) >= 43
        with psycopg.connect(database.admin) as connection:
            stored = connection.execute("SELECT user_session::text FROM user_session").fetchone()
        assert stored
        assert cookie not in stored[0]

    def test_end_after_half_an_hour_without_activity(self, database: TestDatabase) -> None:
        cookie = sessions.start(database.gate, person(database, "ann@acme.test"), how="password", now=NOW)
        at = NOW + timedelta(minutes=29)
        assert sessions.current(database.gate, cookie, at)
        assert sessions.current(database.gate, cookie, NOW + timedelta(minutes=30)) is None
        assert sessions.current(database.gate, cookie, at, touch=True)
        assert sessions.current(database.gate, cookie, at + timedelta(minutes=29))

    def test_end_after_twelve_hours_whatever_happens(self, database: TestDatabase) -> None:
        cookie = sessions.start(database.gate, person(database, "ann@acme.test"), how="password", now=NOW)
        at = NOW
        while at + timedelta(minutes=20) < NOW + sessions.LONGEST:
            at += timedelta(minutes=20)
            assert sessions.current(database.gate, cookie, at, touch=True)
        assert sessions.current(database.gate, cookie, NOW + sessions.LONGEST, touch=True) is None

    def test_signing_out_ends_one(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = person(database, "ann@acme.test", workspace=acme)
        here, there = (sessions.start(database.gate, ann, how="password", now=NOW) for _ in range(2))
        sessions.end(database.gate, here, NOW)
        sessions.end(database.gate, here, NOW)
        assert sessions.current(database.gate, here, NOW) is None
        assert sessions.current(database.gate, there, NOW)
        assert audited(database, acme) == ["sign_in", "sign_in", "sign_out"]

    def test_are_listed_and_the_others_ended(self, database: TestDatabase) -> None:
        ann = person(database, "ann@acme.test")
        cookies = [
            sessions.start(database.gate, ann, how="password", now=NOW, ip=f"10.0.0.{n}", user_agent="Firefox\x00")
            for n in range(3)
        ]
        who = sessions.current(database.gate, cookies[0], NOW)
        assert who
        assert {row.ip for row in sessions.list_own(database.gate, ann, NOW)} == {"10.0.0.0", "10.0.0.1", "10.0.0.2"}
        assert sessions.end_others(database.gate, who, NOW) == 2
        assert [row.id for row in sessions.list_own(database.gate, ann, NOW)] == [who.session_id]
        sessions.end_one(database.gate, uuid.uuid4(), who.session_id, NOW)
        assert sessions.current(database.gate, cookies[0], NOW)
        sessions.end_one(database.gate, ann, who.session_id, NOW)
        assert sessions.current(database.gate, cookies[0], NOW) is None

    @pytest.mark.parametrize("token", [None, "", "x", "\x00", "\udcff", "a" * 5000, "' OR 1=1 --"])
    def test_hostile_tokens_are_nobody(self, database: TestDatabase, token: str | None) -> None:
        assert sessions.current(database.gate, token, NOW) is None

    def test_a_principal_is_only_for_own_workspaces(self, database: TestDatabase) -> None:
        acme = database.workspace()
        database.workspace("other")
        cookie = sessions.start(
            database.gate, person(database, "ann@acme.test", workspace=acme, role=Role.VIEWER), how="password", now=NOW
        )
        who = sessions.current(database.gate, cookie, NOW)
        assert who
        assert who.principal("acme").role is Role.VIEWER
        assert who.principal() == who.principal("acme")
        with pytest.raises(Forbidden):
            who.principal("other")


class TestMembers:
    def test_a_removed_member_loses_access_at_the_next_call(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        bob_id = person(database, "bob@acme.test", workspace=acme, role=Role.ADMIN)
        bob = acting(bob_id, "bob@acme.test", acme, Role.ADMIN)
        cookie = sessions.start(database.gate, bob_id, how="password", now=NOW)
        with database.web.transaction(acme) as session:
            assert len(members.list_members(session, bob)) == 2
        with database.gate.transaction(acme) as session:
            members.remove(session, ann, bob_id, now=NOW)
        with pytest.raises(Forbidden), database.web.transaction(acme) as session:
            members.list_members(session, bob)
        assert sessions.current(database.gate, cookie, NOW) is None
        assert audited(database, acme)[-1] == "members.remove"

    def test_a_changed_role_counts_at_once_and_ends_sessions(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        bob_id = person(database, "bob@acme.test", workspace=acme, role=Role.ADMIN)
        cookie = sessions.start(database.gate, bob_id, how="password", now=NOW)
        with database.gate.transaction(acme) as session:
            members.change_role(session, ann, bob_id, role=Role.VIEWER, now=NOW)
        assert sessions.current(database.gate, cookie, NOW) is None
        stale = acting(bob_id, "bob@acme.test", acme, Role.ADMIN)
        with pytest.raises(Forbidden, match="was changed"), database.web.transaction(acme) as session:
            workspaces.change(session, stale, workspaces.WorkspaceSettings(name="Mine"), now=NOW)

    def test_the_last_owner_stays(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann_id = person(database, "ann@acme.test", workspace=acme)
        ann = acting(ann_id, "ann@acme.test", acme)
        with pytest.raises(InvalidInput, match="needs an owner"), database.gate.transaction(acme) as session:
            members.remove(session, ann, ann_id, now=NOW)
        with pytest.raises(InvalidInput, match="needs an owner"), database.gate.transaction(acme) as session:
            members.change_role(session, ann, ann_id, role=Role.ADMIN, now=NOW)
        bob_id = person(database, "bob@acme.test", workspace=acme)
        with database.gate.transaction(acme) as session:
            members.remove(session, ann, ann_id, now=NOW)
        bob = acting(bob_id, "bob@acme.test", acme)
        with database.web.transaction(acme) as session:
            assert [row.email for row in members.list_members(session, bob)] == ["bob@acme.test"]

    def test_two_owners_cannot_demote_each_other(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ids = [person(database, f"{name}@acme.test", workspace=acme) for name in ("ann", "bob")]
        outcomes: list[str] = []
        barrier = threading.Barrier(2)

        def demote(me: int) -> None:
            barrier.wait()
            try:
                with database.gate.transaction(acme) as session:
                    who = acting(ids[me], "x", acme)
                    members.change_role(session, who, ids[1 - me], role=Role.VIEWER, now=NOW)
                outcomes.append("done")
            except Forbidden:
                outcomes.append("refused")

        threads = [threading.Thread(target=demote, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["done", "refused"]

    def test_an_admin_cannot_touch_owners_or_make_one(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann_id = person(database, "ann@acme.test", workspace=acme)
        person(database, "ann2@acme.test", workspace=acme)
        bob_id = person(database, "bob@acme.test", workspace=acme, role=Role.ADMIN)
        bob = acting(bob_id, "bob@acme.test", acme, Role.ADMIN)
        for role, target in ((Role.OWNER, bob_id), (Role.VIEWER, ann_id)):
            with pytest.raises(Forbidden, match="owner"), database.gate.transaction(acme) as session:
                members.change_role(session, bob, target, role=role, now=NOW)
        with pytest.raises(Forbidden), database.gate.transaction(acme) as session:
            members.remove(session, bob, ann_id, now=NOW)
        with pytest.raises(Forbidden), database.web.transaction(acme) as session:
            members.invite(session, bob, email="eve@acme.test", role=Role.OWNER, now=NOW)

    def test_anybody_may_leave(self, database: TestDatabase) -> None:
        acme = database.workspace()
        person(database, "ann@acme.test", workspace=acme)
        bob_id = person(database, "bob@acme.test", workspace=acme, role=Role.VIEWER)
        with database.gate.transaction(acme) as session:
            members.remove(session, acting(bob_id, "bob@acme.test", acme, Role.VIEWER), bob_id, now=NOW)
        assert audited(database, acme) == ["members.remove"]

    def test_of_another_workspace_is_out_of_reach(self, database: TestDatabase) -> None:
        acme, other = database.workspace(), database.workspace("other")
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        eve_id = person(database, "eve@other.test", workspace=other)
        with pytest.raises(NotFound), database.gate.transaction(acme) as session:
            members.remove(session, ann, eve_id, now=NOW)
        with pytest.raises(NotFound), database.gate.transaction(acme) as session:
            members.change_role(session, ann, eve_id, role=Role.VIEWER, now=NOW)
        with pytest.raises(NoTenant), database.gate.transaction(other) as session:
            members.remove(session, ann, eve_id, now=NOW)


class TestInvitations:
    def _invite(self, database: TestDatabase, acme: uuid.UUID, email: str = "bob@acme.test") -> str:
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        with database.web.transaction(acme) as session:
            path = members.invite(session, ann, email=email, role=Role.MEMBER, now=NOW)
        return path.removeprefix("/invite/")

    def test_somebody_new_joins_with_name_and_password(self, database: TestDatabase) -> None:
        acme = database.workspace()
        token = self._invite(database, acme)
        found = members.peek_invitation(database.gate, token, now=NOW)
        assert (found.workspace_name, found.email, found.role, found.has_account) == (
            "Acme",
            "bob@acme.test",
            Role.MEMBER,
            False,
        )
        with pytest.raises(InvalidInput):
            members.accept_as_new(database.gate, token, name="Bob", password="short", now=NOW)
        bob = members.accept_as_new(database.gate, token, name="Bob", password=PASSWORD, now=NOW)
        assert users.check_password(database.gate, "bob@acme.test", PASSWORD, ip=None, now=NOW) == bob
        with pytest.raises(Unauthorised):
            members.accept_as_new(database.gate, token, name="Bob", password=PASSWORD, now=NOW)
        assert audited(database, acme) == ["members.invite", "members.join"]

    def test_an_existing_account_is_never_taken_over(self, database: TestDatabase) -> None:
        acme = database.workspace()
        bob = person(database, "bob@acme.test")
        token = self._invite(database, acme)
        with pytest.raises(InvalidInput, match="sign in"):
            members.accept_as_new(database.gate, token, name="Eve", password="eve's own password", now=NOW)
        found = members.peek_invitation(database.gate, token, now=NOW)
        eve = person(database, "eve@acme.test")
        with pytest.raises(Unauthorised):
            members.accept_for(database.gate, found, eve, now=NOW, ip=None)
        members.accept_for(database.gate, found, bob, now=NOW, ip=None)
        with pytest.raises(Unauthorised):
            members.accept_for(database.gate, found, bob, now=NOW, ip=None)

    @pytest.mark.parametrize("end", ["expired", "revoked", "replaced", "archived"])
    def test_stop_working(self, database: TestDatabase, end: str) -> None:
        acme = database.workspace()
        token, now = self._invite(database, acme), NOW
        ann = acting(users.list_users(database.gate)[0].id, "ann@acme.test", acme)
        with database.web.transaction(acme) as session:
            listed = members.list_invitations(session, ann, now=NOW)
            assert [row.email for row in listed] == ["bob@acme.test"]
            if end == "expired":
                now = NOW + members.INVITATION_LASTS
            elif end == "revoked":
                members.revoke_invitation(session, ann, listed[0].id, now=NOW)
            elif end == "replaced":
                members.invite(session, ann, email="bob@acme.test", role=Role.VIEWER, now=NOW)
            else:
                workspaces.archive(session, ann, confirm="acme", now=NOW)
        with pytest.raises(Unauthorised):
            members.accept_as_new(database.gate, token, name="Bob", password=PASSWORD, now=now)

    def test_a_member_is_not_invited_again(self, database: TestDatabase) -> None:
        acme = database.workspace()
        self._invite(database, acme)
        ann = acting(users.list_users(database.gate)[0].id, "ann@acme.test", acme)
        with pytest.raises(InvalidInput, match="member already"), database.web.transaction(acme) as session:
            members.invite(session, ann, email="ann@acme.test", role=Role.MEMBER, now=NOW)


class TestClaims:
    def _claims(self, **changed: object) -> users.Claims:
        values = {
            "issuer": "https://idp",
            "subject": "1",
            "email": "Bob@acme.test",
            "email_verified": True,
            "name": "B",
        }
        return users.Claims(**{**values, **changed})  # type: ignore[arg-type]

    def test_the_first_to_come_owns_an_installation_nobody_used(self, database: TestDatabase) -> None:
        link = users.first_start(database.gate, now=NOW)
        user_id = users.user_of_claims(database.gate, self._claims(), now=NOW).user_id
        assert [user.email for user in users.list_users(database.gate)] == ["bob@acme.test"]
        with pytest.raises(Unauthorised):
            sessions.peek_link(database.gate, (link or "").removeprefix("/login/"), NOW)
        assert users.first_start(database.gate, now=NOW) is None
        assert users.user_of_claims(database.gate, self._claims(email=None), now=NOW).user_id == user_id

    def test_without_any_user_the_first_becomes_owner(self, database: TestDatabase) -> None:
        user_id = users.user_of_claims(database.gate, self._claims(), now=NOW).user_id
        with database.gate.transaction(None) as session:
            assert [member.role for member in record.memberships(session, user_id)] == [Role.OWNER]

    def test_a_verified_address_joins_an_existing_user(self, database: TestDatabase) -> None:
        bob = person(database, "bob@acme.test")
        assert users.user_of_claims(database.gate, self._claims(), now=NOW).user_id == bob

    def test_an_unverified_address_joins_nobody(self, database: TestDatabase) -> None:
        person(database, "bob@acme.test")
        with pytest.raises(Unauthorised, match="vouch"):
            users.user_of_claims(database.gate, self._claims(email_verified=False), now=NOW)

    def test_a_stranger_is_refused_and_an_invited_one_joins(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        with pytest.raises(Unauthorised, match="invited"):
            users.user_of_claims(database.gate, self._claims(), now=NOW)
        with database.web.transaction(acme) as session:
            members.invite(session, ann, email="bob@acme.test", role=Role.MEMBER, now=NOW)
        bob = users.user_of_claims(database.gate, self._claims(), now=NOW).user_id
        with database.gate.transaction(None) as session:
            assert [member.role for member in record.memberships(session, bob)] == [Role.MEMBER]

    def test_another_subject_is_another_person(self, database: TestDatabase) -> None:
        person(database, "ann@acme.test")
        person(database, "bob@acme.test")
        bob = users.user_of_claims(database.gate, self._claims(), now=NOW).user_id
        ann = users.user_of_claims(database.gate, self._claims(subject="2", email="ann@acme.test"), now=NOW).user_id
        assert ann != bob
        assert users.user_of_claims(database.gate, self._claims(email="ann@acme.test"), now=NOW).user_id == bob


class TestWorkspaces:
    @pytest.mark.parametrize(
        "bad", ["", "a", "A b", "1st", "-x", "x-", "a--b", "ünï", "x" * 41, "login", "a/b", "../x", "a\x00b"]
    )
    def test_slugs_that_are_refused(self, bad: str) -> None:
        with pytest.raises(InvalidInput):
            workspaces.valid_slug(bad)

    @given(st.text(max_size=60))
    def test_a_valid_slug_is_safe_in_an_address(self, text: str) -> None:
        try:
            slug = workspaces.valid_slug(text)
        except InvalidInput:
            return
        assert slug.replace("-", "").isalnum()
        assert slug.isascii()

    def test_the_maker_owns_it(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        made = workspaces.create(database.gate, ann, slug="Acme-EU", name="Acme Europe", now=NOW)
        assert workspaces.find(database.gate, "acme-eu") == made
        with database.gate.transaction(None) as session:
            assert {m.slug for m in record.memberships(session, ann.user_id or made)} == {"acme", "acme-eu"}
        assert audited(database, made) == ["workspace.create"]
        with pytest.raises(InvalidInput, match="already"):
            workspaces.create(database.gate, ann, slug="acme-eu", now=NOW)
        with pytest.raises(NotFound, match="workspace create"):
            workspaces.find(database.gate, "nope")

    def test_entering_is_remembered_and_recorded(self, database: TestDatabase) -> None:
        acme, zeta = database.workspace(), database.workspace("zeta")
        ann_id = person(database, "ann@acme.test", workspace=acme)
        with database.gate.transaction(zeta) as session:
            run(
                session,
                "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:u, :w, 'VIEWER', :now)",
                u=ann_id,
                w=zeta,
                now=NOW,
            )
        cookie = sessions.start(database.gate, ann_id, how="password", now=NOW)
        workspaces.enter(database.gate, acting(ann_id, "ann@acme.test", zeta, Role.VIEWER), now=NOW)
        who = sessions.current(database.gate, cookie, NOW)
        assert who
        assert [member.slug for member in who.memberships] == ["zeta", "acme"]
        assert audited(database, zeta) == ["workspace.enter"]

    @pytest.mark.parametrize(
        "bad",
        [
            {"timezone": "Mars/Olympus"},
            {"locale": "xx_YY_zz"},
            {"base_currency": "usd"},
            {"trial_days": -1},
            {"dormant_days": 0},
            {"name": "  "},
            {"inbox_retention_days": 10**9},
        ],
    )
    def test_settings_that_are_refused(self, database: TestDatabase, bad: dict[str, object]) -> None:
        acme = database.workspace()
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        with pytest.raises(InvalidInput), database.web.transaction(acme) as session:
            workspaces.change(session, ann, workspaces.WorkspaceSettings(**bad), now=NOW)  # type: ignore[arg-type]
        assert audited(database, acme) == []

    def test_settings_are_changed_and_recorded(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        wanted = workspaces.WorkspaceSettings(name="Acme GmbH", timezone="Europe/Berlin", locale="de_DE", trial_days=30)
        with database.web.transaction(acme) as session:
            workspaces.change(session, ann, wanted, now=NOW)
        with database.web.transaction(acme) as session:
            row = one(session, "SELECT name, timezone, locale, base_currency, trial_days FROM workspace")
        assert tuple(row) == ("Acme GmbH", "Europe/Berlin", "de_DE", "USD", 30)
        assert audited(database, acme) == ["settings.write"]

    def test_archiving_hides_and_restoring_brings_back(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann_id = person(database, "ann@acme.test", workspace=acme)
        ann = acting(ann_id, "ann@acme.test", acme)
        with pytest.raises(InvalidInput, match="acme"), database.web.transaction(acme) as session:
            workspaces.archive(session, ann, confirm="Acme?", now=NOW)
        with database.web.transaction(acme) as session:
            workspaces.archive(session, ann, confirm="acme", now=NOW)
        with database.gate.transaction(None) as session:
            assert record.memberships(session, ann_id) == ()
        assert workspaces.list_archived(database.gate, ann_id) == [(acme, "acme", "Acme")]
        with database.web.transaction(acme) as session:
            workspaces.restore(session, ann, now=NOW)
        with database.gate.transaction(None) as session:
            assert len(record.memberships(session, ann_id)) == 1

    def test_deleting_leaves_nothing_of_it_and_all_of_the_others(self, database: TestDatabase) -> None:
        acme, other = database.workspace(), database.workspace("other")
        ann = acting(person(database, "ann@acme.test", workspace=acme), "ann@acme.test", acme)
        for workspace in (acme, other):
            source = database.source(workspace, "stripe")
            with database.worker.transaction(workspace) as session:
                run(
                    session,
                    "INSERT INTO event_key (source_id, workspace_id, key, hash, received_at)"
                    " VALUES (:s, :w, 'k', 'h', :now)",
                    s=source,
                    w=workspace,
                    now=NOW,
                )
        with pytest.raises(InvalidInput, match="confirm"):
            workspaces.delete(database.web, database.worker, ann, confirm="", now=NOW)
        workspaces.delete(database.web, database.worker, ann, confirm="acme", now=NOW)
        held: dict[uuid.UUID, int] = {acme: 0, other: 0}
        with psycopg.connect(database.admin) as connection:
            tables = connection.execute(
                "SELECT table_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND column_name = 'workspace_id'"
            ).fetchall()
            assert len(tables) > 20
            for (table,) in tables:
                for workspace in held:
                    count = connection.execute(
                        f"SELECT count(*) FROM {table} WHERE workspace_id = %s", (workspace,)
                    ).fetchone()
                    held[workspace] += count[0] if count else 0
        assert held[acme] == 0
        assert held[other] == 2
        with pytest.raises(NotFound):
            workspaces.find(database.gate, "acme")

    def test_a_demo_goes_with_one_call_and_nothing_else_does(self, database: TestDatabase) -> None:
        demo, acme = database.workspace("demo", kind="demo"), database.workspace()
        ann_id = person(database, "ann@acme.test", workspace=demo, role=Role.ADMIN)
        with pytest.raises(Forbidden, match="not a demo"):
            workspaces.remove_demo(database.web, database.worker, Principal.system(acme), now=NOW)
        workspaces.remove_demo(
            database.web, database.worker, acting(ann_id, "ann@acme.test", demo, Role.ADMIN), now=NOW
        )
        with pytest.raises(NotFound):
            workspaces.find(database.gate, "demo")
        assert workspaces.find(database.gate, "acme") == acme


class TestKeys:
    def _door(self, database: TestDatabase, secret: str) -> object:
        with database.ingest.transaction(None) as session:
            return one(session, "SELECT * FROM door_key(:hash)", hash=hash_of(secret))

    def test_the_door_knows_a_key_until_it_is_revoked(self, database: TestDatabase) -> None:
        acme = database.workspace()
        source, ann = database.source(acme, "segment"), Principal.system(acme)
        with database.web.transaction(acme) as session:
            made = keys.create(session, ann, source_id=source, name="Shop server", kind="server", now=NOW)
        assert made.secret.startswith("gdps_")
        assert len(made.secret) == 48
        assert made.secret not in repr(made)
        assert self._door(database, made.secret)
        assert self._door(database, made.secret + "x") is None
        with database.web.transaction(acme) as session:
            row = keys.list_keys(session, ann)[0]
            assert (row.prefix, row.name, row.kind) == (made.secret[:11], "Shop server", "server")
            assert row.role is None  # it only sends unless asked for more
            keys.revoke(session, ann, made.id, now=NOW)
        assert self._door(database, made.secret) is None
        with psycopg.connect(database.admin) as connection:
            for table in ("api_key", "audit_log"):
                for (text,) in connection.execute(f"SELECT {table}::text FROM {table}").fetchall():
                    assert made.secret[11:] not in text
        assert audited(database, acme) == ["keys.create", "keys.revoke"]

    def test_rotation_overlaps(self, database: TestDatabase) -> None:
        from gdp_core import clock

        now = clock.now()  # the door asks the server's clock
        acme = database.workspace()
        source, ann = database.source(acme, "segment"), Principal.system(acme)
        with database.web.transaction(acme) as session:
            old = keys.create(
                session,
                ann,
                source_id=source,
                name="Web",
                kind="browser",
                allowed_origins=["https://Shop.example.com/"],
                now=now,
            )
            new = keys.rotate(session, ann, old.id, overlap_hours=2, now=now)
            assert [row.allowed_origins for row in keys.list_keys(session, ann)] == [("https://shop.example.com",)] * 2
        assert self._door(database, old.secret)
        assert self._door(database, new.secret)
        with database.web.transaction(acme) as session:
            newest = keys.rotate(session, ann, new.id, overlap_hours=0, now=now - timedelta(seconds=1))
        assert self._door(database, new.secret) is None
        assert self._door(database, newest.secret)
        with pytest.raises(NotFound), database.web.transaction(acme) as session:
            keys.rotate(session, ann, new.id, now=now)

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            ({"name": " "}, InvalidInput),
            ({"allowed_origins": ["shop.example.com"]}, InvalidInput),
            ({"allowed_origins": ["https://a.test/path"]}, InvalidInput),
            ({"allowed_origins": ["javascript:alert(1)"]}, InvalidInput),
            ({"allowed_origins": ["https://a.test"], "kind": "server"}, InvalidInput),
            ({"source_id": uuid.UUID(int=5)}, NotFound),
        ],
    )
    def test_what_is_refused(self, database: TestDatabase, bad: dict[str, object], error: type[GrowthError]) -> None:
        acme = database.workspace()
        wanted = {"source_id": database.source(acme, "segment"), "name": "Web", "kind": "browser", "now": NOW, **bad}
        with pytest.raises(error), database.web.transaction(acme) as session:
            keys.create(session, Principal.system(acme), **wanted)  # type: ignore[arg-type]

    def test_of_another_workspace_is_out_of_reach(self, database: TestDatabase) -> None:
        acme, other = database.workspace(), database.workspace("other")
        source = database.source(other, "segment")
        with database.web.transaction(other) as session:
            made = keys.create(session, Principal.system(other), source_id=source, name="x", kind="server", now=NOW)
        for attack in (keys.revoke, keys.rotate):
            with pytest.raises(NotFound), database.web.transaction(acme) as session:
                attack(session, Principal.system(acme), made.id, now=NOW)
        with pytest.raises(NotFound), database.web.transaction(acme) as session:
            keys.create(session, Principal.system(acme), source_id=source, name="x", kind="server", now=NOW)


class TestConnections:
    def test_connect_rename_archive_restore(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = Principal.system(acme)
        with database.web.transaction(acme) as session:
            made = connections.connect(session, ann, source="stripe", name="Billing", has_invoices=True, now=NOW)
            connections.rename(session, ann, made.id, name="Billing EU", now=NOW)
            assert [(row.name, row.hook_key) for row in connections.list_connections(session, ann)] == [
                ("Billing EU", made.hook_key)
            ]
        assert len(made.hook_key) == 32
        with database.ingest.transaction(None) as session:
            assert one(session, "SELECT * FROM door_hook(:hook)", hook=made.hook_key)
        with database.web.transaction(acme) as session:
            connections.archive(session, ann, made.id, now=NOW)
            assert connections.list_connections(session, ann) == []
        with database.ingest.transaction(None) as session:
            assert one(session, "SELECT * FROM door_hook(:hook)", hook=made.hook_key) is None
        with database.web.transaction(acme) as session:
            connections.restore(session, ann, made.id, now=NOW)
            address = connections.change_address(session, ann, made.id, now=NOW)
        with database.ingest.transaction(None) as session:
            assert one(session, "SELECT * FROM door_hook(:hook)", hook=made.hook_key) is None
            assert one(session, "SELECT * FROM door_hook(:hook)", hook=address)
        assert audited(database, acme) == [
            f"sources.{verb}" for verb in ("connect", "rename", "archive", "restore", "address")
        ]

    def test_a_viewer_does_not_see_addresses(self, database: TestDatabase) -> None:
        acme = database.workspace()
        with database.web.transaction(acme) as session:
            connections.connect(session, Principal.system(acme), source="stripe", name="Billing", now=NOW)
        vic_id = person(database, "vic@acme.test", workspace=acme, role=Role.VIEWER)
        with database.web.transaction(acme) as session:
            vic = acting(vic_id, "vic@acme.test", acme, Role.VIEWER)
            assert [row.hook_key for row in connections.list_connections(session, vic)] == [""]

    def test_secrets_overlap_open_only_in_place_and_are_never_listed(self, database: TestDatabase) -> None:
        from gdp_core import clock

        now = clock.now()
        acme = database.workspace()
        ann = Principal.system(acme)

        def counting() -> list[str]:
            with database.ingest.transaction(None) as session:
                found = rows(session, "SELECT secret_id, ciphertext FROM door_hook(:hook)", hook=made.hook_key)
            return sorted(
                vault.unseal(
                    bytes(row.ciphertext),
                    workspace_id=acme,
                    table="source_secret",
                    row_id=row.secret_id,
                    column="ciphertext",
                )
                for row in found
                if row.secret_id
            )

        with database.web.transaction(acme) as session:
            made = connections.connect(session, ann, source="stripe", name="Billing", now=now)
            first = connections.set_secret(session, ann, made.id, secret=" whsec_first_1 ", now=now)
        assert counting() == ["whsec_first_1"]
        with database.web.transaction(acme) as session:
            connections.set_secret(session, ann, made.id, secret="whsec_second_2", overlap_hours=24, now=now)
            listed = connections.list_secrets(session, ann, made.id, now=now)
            assert {row.expires_at for row in listed} == {None, now + timedelta(hours=24)}
        assert counting() == ["whsec_first_1", "whsec_second_2"]
        with database.web.transaction(acme) as session:
            connections.drop_secret(session, ann, made.id, first, now=now)
        assert counting() == ["whsec_second_2"]
        with database.web.transaction(acme) as session:
            connections.set_secret(session, ann, made.id, secret="whsec_third_3", now=now - timedelta(seconds=1))
        assert counting() == ["whsec_third_3"]

    @pytest.mark.parametrize("bad", ["", "short", "x" * 501, "with\nnewline", "ümläüt-secret"])
    def test_secrets_that_are_refused(self, database: TestDatabase, bad: str) -> None:
        acme = database.workspace()
        source = database.source(acme, "stripe")
        with pytest.raises(InvalidInput), database.web.transaction(acme) as session:
            connections.set_secret(session, Principal.system(acme), source, secret=bad, now=NOW)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ann@example.com", "a•••@e•••.com"),
        ("Ann Lee", "A••• L•••"),
        ("+4917012345", "+•••"),
        ("@handle", "@•••"),
        ("", ""),
    ],
)
def test_masking(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(st.text(max_size=100))
def test_masking_shows_one_character_of_each_part(text: str) -> None:
    hidden = masked(text)
    if text.split():
        assert hidden.count("•••") >= 1
        assert len(hidden.replace("•", "")) <= len(text)


class TestRecord:
    """What happens to an account is in the log of the workspace its owner enters, in the transaction that did it."""

    def _log(
        self, database: TestDatabase, workspace: uuid.UUID
    ) -> list[tuple[str, str, str | None, dict[str, object]]]:
        with database.web.transaction(workspace) as session:
            assert verify(session) is None
            found = rows(session, "SELECT action, user_label, ip, detail FROM audit_log ORDER BY seq")
        return [tuple(row) for row in found]  # type: ignore[misc]

    def test_failed_sign_ins_and_the_wait_they_earn(self, database: TestDatabase) -> None:
        acme = database.workspace()
        person(database, "ann@acme.test", workspace=acme)
        for _ in range(7):
            with pytest.raises(GrowthError):
                users.check_password(database.gate, "ann@acme.test", "wrong password", ip="10.0.0.9", now=NOW)
        log = self._log(database, acme)
        assert [action for action, *_ in log] == ["sign_in.failed"] * 4 + ["sign_in.throttled"]
        assert log[-1] == ("sign_in.throttled", "not signed in", "10.0.0.9", {"failures": 5, "wait_seconds": 15})

    def test_of_somebody_unknown_nothing_is_recorded(self, database: TestDatabase) -> None:
        acme = database.workspace()
        with pytest.raises(Unauthorised):
            users.check_password(database.gate, "nobody@acme.test", "wrong password", ip=None, now=NOW)
        assert self._log(database, acme) == []

    def test_passwords_links_and_switching_off(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = person(database, "ann@acme.test", workspace=acme)
        cookie = sessions.start(database.gate, ann, how="password", now=NOW, ip="10.0.0.1")
        users.set_password(
            database.gate, ann, current=PASSWORD, new="another password", keep_session=None, ip="10.0.0.1", now=NOW
        )
        users.reset_password(database.gate, "ann@acme.test", PASSWORD, now=NOW)
        users.sign_in_link(database.gate, "ann@acme.test", now=NOW)
        users.disable(database.gate, "ann@acme.test", now=NOW)
        assert sessions.current(database.gate, cookie, NOW) is None
        assert self._log(database, acme) == [
            ("sign_in", "ann@acme.test", "10.0.0.1", {"how": "password"}),
            ("password.change", "ann@acme.test", "10.0.0.1", {"sessions_ended": 1}),
            ("password.reset", "system", None, {"sessions_ended": 0}),
            ("sign_in.link", "system", None, {}),
            ("account.disable", "system", None, {"sessions_ended": 0}),
        ]

    def test_an_account_that_a_link_was_used_for(self, database: TestDatabase) -> None:
        path = users.first_start(database.gate, now=NOW)
        assert path
        with database.gate.transaction(None) as session:
            (row,) = rows(session, "SELECT id FROM workspace")
        token = path.removeprefix("/login/")
        with pytest.raises(InvalidInput):
            users.enter_by_link(database.gate, token, email="ann@acme.test", password="short", ip="10.0.0.1", now=NOW)
        users.enter_by_link(database.gate, token, email="ann@acme.test", password=PASSWORD, ip="10.0.0.1", now=NOW)
        assert self._log(database, row.id)[-1] == ("account.claim", "ann@acme.test", "10.0.0.1", {"password": "set"})
        assert [action for action, *_ in self._log(database, row.id)].count("account.claim") == 1

    def test_sessions_that_are_ended(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = person(database, "ann@acme.test", workspace=acme)
        cookies = [sessions.start(database.gate, ann, how="password", now=NOW) for _ in range(4)]
        who, other = (sessions.current(database.gate, cookie, NOW) for cookie in cookies[:2])
        assert who
        assert other
        sessions.end_one(database.gate, ann, other.session_id, NOW, ip="10.0.0.1")
        assert sessions.end_others(database.gate, who, NOW, ip="10.0.0.1") == 2
        assert sessions.end_others(database.gate, who, NOW) == 0
        sessions.end(database.gate, cookies[0], NOW, ip="10.0.0.1")
        sessions.end(database.gate, cookies[0], NOW)
        assert self._log(database, acme)[4:] == [
            ("sessions.end", "ann@acme.test", "10.0.0.1", {}),
            ("sessions.end", "ann@acme.test", "10.0.0.1", {"ended": 2}),
            ("sign_out", "ann@acme.test", "10.0.0.1", {}),
        ]

    def test_an_account_that_a_provider_vouches_for(self, database: TestDatabase) -> None:
        acme = database.workspace()
        ann = person(database, "ann@acme.test", workspace=acme)
        claims = users.Claims("https://id.test", "42", "ann@acme.test", True, "Ann")
        assert users.user_of_claims(database.gate, claims, ip="10.0.0.1", now=NOW) == users.Vouched(ann, True)
        assert users.user_of_claims(database.gate, claims, now=NOW) == users.Vouched(ann, False)
        assert self._log(database, acme) == [
            ("account.link", "ann@acme.test", "10.0.0.1", {"provider": "https://id.test", "password": "ended"})
        ]

    @pytest.mark.parametrize("what", ["fail", "password", "disable", "end", "link"])
    def test_without_its_row_the_change_is_not_made(
        self, database: TestDatabase, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        acme = database.workspace()
        ann = person(database, "ann@acme.test", workspace=acme)
        cookie = sessions.start(database.gate, ann, how="password", now=NOW)

        def state() -> object:
            with psycopg.connect(database.admin) as connection:
                return connection.execute(
                    "SELECT u.failed_sign_ins, u.password_hash, u.disabled_at, s.revoked_at,"
                    " (SELECT count(*) FROM sign_in_link) FROM app_user u, user_session s"
                ).fetchone()

        before = state()
        with psycopg.connect(database.admin) as connection:
            connection.execute("REVOKE INSERT ON audit_log FROM gdp_gate")
        calls = {
            "fail": lambda: users.check_password(database.gate, "ann@acme.test", "wrong password", ip=None, now=NOW),
            "password": lambda: users.reset_password(database.gate, "ann@acme.test", "another password", now=NOW),
            "disable": lambda: users.disable(database.gate, "ann@acme.test", now=NOW),
            "end": lambda: sessions.end(database.gate, cookie, NOW),
            "link": lambda: users.sign_in_link(database.gate, "ann@acme.test", now=NOW),
        }
        try:
            with pytest.raises(exc.ProgrammingError):
                calls[what]()
        finally:
            with psycopg.connect(database.admin) as connection:
                connection.execute("GRANT INSERT ON audit_log TO gdp_gate")
        assert state() == before
