"""The small language of a mapping: `Quantity*UnitPrice`, `refund if InvoiceNo ^= 'C' else order`.

    X if COND else Y  <  or  <  and  <  not  <  = != < > <= >= ^=  <  + -  <  * /  <  - (sign)

A bare word is a column where there is one, otherwise text; "Unit Price" is always a column, 'C' always text; `null` is
nothing. Numbers are exact decimals. Nothing is evaluated by Python: there are no calls, no attributes, no names but
columns. What is wrong with the text raises InvalidInput here, what is wrong with a row raises Unusable when it is read.
"""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import NamedTuple

from gdp_core.errors import InvalidInput
from gdp_core.importer.cells import Cell, number, present, quoted, text
from gdp_core.sources.payload import Unusable

Row = Sequence[Cell]
Evaluate = Callable[[Row], Cell]

_LONGEST, _DEEPEST = 200, 40  # tokens and nesting: far below Python's own recursion limit
_EXACT = Context(prec=60)  # two 64-bit numbers multiply without rounding
_FALSE = frozenset(("false", "no", "f", "n", "0"))
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?(?![\w.]))
    | (?P<text>'(?:[^']|'')*') | (?P<column>"(?:[^"]|"")*")
    | (?P<word>[^\W\d][\w.$]*) | (?P<sign><=|>=|!=|\^=|==|[-+*/=<>()]) | (?P<end>\Z))""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A text bound to the columns of a file. `columns`: what it reads; `plain`: it is one column, its cells as they are."""

    evaluate: Evaluate
    columns: frozenset[str]
    plain: bool = False


def bind(source: str, columns: Sequence[str]) -> Expression:
    """`source` as a function of a row of `columns`. A leading `=` makes the rest a fixed text.

    Raises InvalidInput naming the position and what is expected there, or the nearest column of an unknown name.
    """
    if source in columns:
        return Expression(operator.itemgetter(columns.index(source)), frozenset((source,)), plain=True)
    if source.startswith("="):
        fixed = source[1:].strip()
        if not fixed:
            raise InvalidInput("Write a text after “=”, for example =order.")
        return Expression(lambda _: fixed, frozenset())
    parser = _Parser(source, columns)
    term = parser.whole()
    return Expression(term.evaluate, frozenset(parser.used))


def unknown_column(name: str, columns: Sequence[str]) -> InvalidInput:
    """The error for a column that the file does not have, with the nearest one it has."""
    folded = {column.casefold(): column for column in columns}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    listed = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
    hint = f"did you mean “{folded[near[0]]}”?" if near else f"there are: {listed}."
    return InvalidInput(f"There is no column “{name}”; {hint}")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int  # 1-based position in the source


class _Term(NamedTuple):
    evaluate: Evaluate
    word: str | None = None  # a bare word that is no column, and so text: only where text makes sense
    fixed: bool = False  # the same for every row


class _Parser:
    """Precedence climbing: `expression(strength)` reads what binds tighter than `strength`."""

    def __init__(self, source: str, columns: Sequence[str]) -> None:
        self.source = source
        self.columns = columns
        self.used: set[str] = set()
        self.tokens = self._tokens()
        self.next = 0
        self.depth = 0

    def whole(self) -> _Term:
        if self.tokens[0].kind == "end":
            raise InvalidInput("The expression is empty; write a column name.")
        term = self.expression()
        if self._peek().kind != "end":
            raise self._expected("an operator or the end")
        if term.word is not None:
            raise InvalidInput(f"{unknown_column(term.word, self.columns)} For a fixed text write ={term.word}.")
        return term

    def expression(self, strength: int = 0) -> _Term:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise InvalidInput(f"“{self.source[:60]}…” is nested more than {_DEEPEST} deep; simplify it.")
        left = self._prefix()
        while (binding := _STRENGTH.get(self._peek().text, 0)) > strength and self._peek().kind in ("sign", "word"):
            self.next += 1
            left = self._infix(left, self.tokens[self.next - 1], binding)
        self.depth -= 1
        return left

    def _infix(self, left: _Term, sign: _Token, binding: int) -> _Term:
        if sign.text == "if":
            return self._choice(left)
        right = self.expression(binding)
        if sign.text in _COMPARE:
            return self._comparison(left, right, sign)
        return _Term(
            _JOIN[sign.text](self._value(left).evaluate, self._value(right).evaluate), fixed=left.fixed and right.fixed
        )

    def _comparison(self, left: _Term, right: _Term, sign: _Token) -> _Term:
        if left.fixed and right.fixed:
            raise self._no_column(left, right, sign)
        if self._peek().text in _COMPARE:
            raise self._expected("“and”, “or” or the end: a comparison has two sides")
        if sign.text[0] in "<>":  # only words are compared with = and ^=
            left, right = self._value(left), self._value(right)
        return _Term(_compared(left.evaluate, right.evaluate, _COMPARE[sign.text]))

    def _choice(self, yes: _Term) -> _Term:
        condition = self._value(self.expression(_STRENGTH["if"])).evaluate
        self._skip("else")
        no = self.expression()  # to the right: a if x else (b if y else c)
        then, otherwise = yes.evaluate, no.evaluate
        return _Term(lambda row: then(row) if _true(condition(row)) else otherwise(row))

    def _prefix(self) -> _Term:
        token = self._peek()
        if token.kind == "end" or token.text in _STRENGTH.keys() - {"-"} | {"else", ")"}:
            raise self._expected("a column, a number or a text")
        self.next += 1
        if token.kind == "number":
            amount = Decimal(token.text)
            return _Term(lambda _: amount, fixed=True)
        if token.kind == "text":
            fixed = token.text[1:-1].replace("''", "'")
            return _Term(lambda _: fixed, fixed=True)
        if token.kind == "column":
            return self._column(token.text[1:-1].replace('""', '"'))
        if token.kind == "word":
            return self._word(token)
        if token.text == "(":
            inner = self.expression()
            self._skip(")")
            return inner
        operand = self._value(self.expression(_SIGN))  # the only sign left is “-”
        return _Term(_negated(operand.evaluate), fixed=operand.fixed)

    def _word(self, token: _Token) -> _Term:
        if token.text == "null":
            return _Term(lambda _: None, fixed=True)
        if token.text == "not":
            operand = self._value(self.expression(_NOT)).evaluate
            return _Term(lambda row: not _true(operand(row)))
        if token.text in self.columns:
            return self._column(token.text)
        word = token.text
        return _Term(lambda _: word, word=word, fixed=True)

    def _column(self, name: str) -> _Term:
        if name not in self.columns:
            raise unknown_column(name, self.columns)
        self.used.add(name)
        return _Term(_cell(self.columns.index(name)))

    def _value(self, term: _Term) -> _Term:
        """`term`, where a bare text would be meaningless: it can only be a column with a typing mistake."""
        if term.word is not None:
            raise unknown_column(term.word, self.columns)
        return term

    def _no_column(self, left: _Term, right: _Term, sign: _Token) -> InvalidInput:
        word = left.word or right.word
        if word:
            return unknown_column(word, self.columns)
        return InvalidInput(f"At position {sign.at} of “{self.source}”: name a column on one side of “{sign.text}”.")

    def _tokens(self) -> list[_Token]:
        found: list[_Token] = []
        position = 0
        while not found or found[-1].kind != "end":
            match = _TOKEN.match(self.source, position)
            if match is None:
                raise self._unreadable(position)
            if len(found) > _LONGEST:
                raise InvalidInput(f"An expression has at most {_LONGEST} words and signs; simplify it.")
            kind = match.lastgroup or "end"
            written = match[kind]
            found.append(_Token(kind, "=" if written == "==" else written, match.start(kind) + 1))
            position = match.end()
        return found

    def _unreadable(self, position: int) -> InvalidInput:
        rest = self.source[position:].lstrip()
        at = len(self.source) - len(rest) + 1
        if rest[0] in "'\"":
            return InvalidInput(f"At position {at} of “{self.source}”: the quotation mark {rest[0]} is never closed.")
        if rest[0].isdecimal():
            return InvalidInput(f'At position {at} of “{self.source}”: expected a number; quote a column as "{rest}".')
        return InvalidInput(
            f"At position {at} of “{self.source}”: expected a column, a number, a text or an operator, "
            f"found “{rest[0]}”; put double quotes around a column with such a name."
        )

    def _expected(self, what: str) -> InvalidInput:
        token = self._peek()
        found = f"“{token.text}”" if token.kind != "end" else "the end"
        return InvalidInput(f"At position {token.at} of “{self.source}”: expected {what}, found {found}.")

    def _peek(self) -> _Token:
        return self.tokens[self.next]

    def _skip(self, text: str) -> None:
        if self._peek().text != text:
            raise self._expected(f"“{text}”")
        self.next += 1


def _cell(index: int) -> Evaluate:
    return lambda row: present(row[index])


def _true(value: Cell) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _FALSE
    return bool(value)


def _negated(operand: Evaluate) -> Evaluate:
    def negated(row: Row) -> Cell:
        value = number(operand(row))
        return None if value is None else value.copy_negate()

    return negated


def _arithmetic(calculate: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Evaluate, Evaluate], Evaluate]:
    def joined(left: Evaluate, right: Evaluate) -> Evaluate:
        def calculated(row: Row) -> Cell:
            a, b = number(left(row)), number(right(row))
            if a is None or b is None:
                return None
            try:
                return calculate(a, b)
            except ArithmeticError:
                raise Unusable("bad_number", f"{quoted(a)} and {quoted(b)} give no number.") from None

        return calculated

    return joined


def _and(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda row: _true(left(row)) and _true(right(row))


def _or(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda row: _true(left(row)) or _true(right(row))


def _compared(left: Evaluate, right: Evaluate, holds: Callable[[Cell, Cell], bool]) -> Evaluate:
    return lambda row: holds(left(row), right(row))


def _equal(a: Cell, b: Cell) -> bool:
    """Texts letter by letter, numbers by value, null only to null."""
    if a is None or b is None:
        return a is b
    if _numeric(a) or _numeric(b):
        try:
            return number(a) == number(b)
        except Unusable:
            return False
    return text(a) == text(b)


def _ordered(holds: Callable[[Cell, Cell], bool]) -> Callable[[Cell, Cell], bool]:
    def compare(a: Cell, b: Cell) -> bool:
        """By value where both are numbers, by alphabet where neither need be one; null is in no order."""
        if a is None or b is None:
            return False
        try:
            x, y = number(a), number(b)
        except Unusable:
            if _numeric(a) or _numeric(b):
                raise
            return holds(text(a) or "", text(b) or "")
        return x is not None and y is not None and holds(x, y)

    return compare


def _numeric(value: Cell) -> bool:
    return value.__class__ in (Decimal, int, float)


def _starts(a: Cell, b: Cell) -> bool:
    return a is not None and b is not None and (text(a) or "").startswith(text(b) or "")


_COMPARE: dict[str, Callable[[Cell, Cell], bool]] = {
    "=": _equal,
    "!=": lambda a, b: not _equal(a, b),
    "<": _ordered(operator.lt),
    ">": _ordered(operator.gt),
    "<=": _ordered(operator.le),
    ">=": _ordered(operator.ge),
    "^=": _starts,
}
_JOIN: dict[str, Callable[[Evaluate, Evaluate], Evaluate]] = {
    "or": _or,
    "and": _and,
    "+": _arithmetic(_EXACT.add),
    "-": _arithmetic(_EXACT.subtract),
    "*": _arithmetic(_EXACT.multiply),
    "/": _arithmetic(_EXACT.divide),
}
_NOT, _SIGN = 4, 8
_STRENGTH = {"if": 1, "or": 2, "and": 3, **dict.fromkeys(_COMPARE, 5), "+": 6, "-": 6, "*": 7, "/": 7}
