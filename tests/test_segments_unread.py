"""Segments that cannot be evaluated as they stand: rules of another release, and rules that name what is gone.

They are listed, shown, told apart, changed and deleted like any other; only who is in them nobody knows.
"""

import pytest

from gdp_core.accounts.roles import Principal
from gdp_core.segments import keeping, previewing, rules
from gdp_core.segments.rules import BadRule, Unread
from gdp_core.segments.starters import install

from .segment_life import Life, performed, rule_of, within

NEWER = {"version": 9, "match": {"kind": "all", "of": [{"kind": "dreamt", "of": "e@mail.example"}]}}
STRANGE = {"version": 1, "match": {"kind": "all", "of": [{"kind": "dreamt"}, performed("order")]}}


@pytest.fixture
def life(database, ws, tmp_path):
    return Life(database, ws, tmp_path)


@pytest.mark.parametrize("given", [NEWER, STRANGE, {}, {"match": 7}])
def test_what_was_kept_stands_as_it_is_and_is_never_a_rule(given):
    found = rules.kept(given)
    assert isinstance(found, Unread)
    assert found.plain == given
    assert found.sentence(rules.Names()) == "People who meet a rule that this release cannot read."
    assert found.uses == rules.Uses()
    assert found == rules.kept(dict(given))
    assert found != rule_of(performed("order"))
    for text in (given, {"match": {"kind": "all", "of": [{"kind": "unreadable"}]}}, found.json_text):
        with pytest.raises(BadRule):
            rules.read(text)


def test_it_is_read_changed_restored_and_deleted_like_any_other(life):
    odd, fine = life.segment("Odd", performed("order")), life.segment("Fine", performed("order"))
    other = life.segment("Other", performed("visit"))
    life.unread(odd, **NEWER)
    life.unread(other, **STRANGE)
    assert [one.rule.plain for one in life.reads(keeping.list_segments)] == [fine.rule.plain, NEWER, STRANGE]
    assert life.reads(keeping.find_segment, "Odd").version == 2
    assert [one.rule.plain for one in life.reads(keeping.read_versions, odd.id)] == [NEWER, odd.rule.plain]
    assert life.reads(keeping.used_by, odd.id) == []
    life.keeps(keeping.rename, odd.id, "Odder")
    life.keeps(keeping.set_enabled, odd.id, False)
    assert life.keeps(keeping.restore_version, odd.id, 1, expected_version=2).rule == odd.rule
    with pytest.raises(BadRule, match="cannot read the rule"):
        life.keeps(keeping.restore_version, odd.id, 2, expected_version=3)
    assert life.keeps(keeping.change, other.id, rule_of(performed("x")), expected_version=2).version == 3
    life.unread(fine, **NEWER)
    life.keeps(keeping.delete, fine.id)
    assert life.keeps(keeping.restore, fine.id).rule.plain == NEWER
    assert [one.name for one in life.keeps(install, {"activated_not_paid_day3": {}})] != []


def test_what_is_made_of_one_that_cannot_be_evaluated_says_so_at_the_condition(life):
    inner = life.segment("Inner", performed("order"))
    middle = life.segment("Middle", within(inner.id))
    outer = rule_of(performed("visit"), within(middle.id))
    assert rules.check(outer, life.surroundings()) == ()
    life.unread(inner, **NEWER)
    (problem,) = rules.check(outer, life.surroundings())
    assert (problem.path, problem.field) == ((1,), "segment")
    assert problem.message.startswith("The segment “Inner” has to be mended first. This release cannot read")
    with pytest.raises(BadRule, match="“Inner” has to be mended"):
        previewing.preview(life.timeline(), outer, life.surroundings(), life.now)
    with pytest.raises(BadRule, match="“Inner” has to be mended"):
        life.segment("Outer", within(middle.id))
    life.keeps(keeping.change, inner.id, rule_of(performed("order")), expected_version=2)
    assert rules.check(outer, life.surroundings()) == ()


def test_a_circle_among_those_it_is_made_of_is_said(life):
    one = life.segment("One", performed("order"))
    two = life.segment("Two", within(one.id))
    with life.database.web.transaction(life.ws) as session:
        keeping._write(session, Principal.system(life.ws), one.id, 2, rule_of(within(two.id)), "", life.now)
        keeping._touch(session, Principal.system(life.ws), one.id, "version = 2", life.now)
    (problem,) = rules.check(rule_of(within(two.id)), life.surroundings())
    assert "made of itself" in problem.message
    assert rules.check(rule_of(performed("order")), life.surroundings(), own=str(one.id)) == ()
