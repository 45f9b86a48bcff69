"""Money is an integer number of micros (millionths of the currency's main unit) and an ISO 4217 code in upper case.

Vendors' minor units become micros here, once, at the source; formatting is the user interface's business.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from gdp_core.errors import InvalidInput

MICROS = 1_000_000

# Stripe represents ISK and UGX with two decimals although the world uses none.
_ZERO_DECIMAL = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split())
_THREE_DECIMAL = frozenset("BHD JOD KWD OMR TND".split())


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency. Adding two currencies raises InvalidInput."""

    micros: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise InvalidInput(f"Cannot add {other.currency} to {self.currency} without an exchange rate.")
        return Money(self.micros + other.micros, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.micros, self.currency)


def exponent(currency: str) -> int:
    """Decimals of Stripe's minor unit: 0 for JPY, 3 for KWD, 2 otherwise."""
    code = currency.upper()
    return 0 if code in _ZERO_DECIMAL else 3 if code in _THREE_DECIMAL else 2


def micros_per_minor(currency: str) -> int:
    """How many micros one minor unit (a cent, a yen, a fils) is."""
    return MICROS // int(10 ** exponent(currency))


def from_minor(amount: int | str | Decimal | Fraction, currency: str) -> int:
    """Minor units (Stripe's integers, or its decimal strings) to micros, rounded half-even once."""
    exact: Fraction = Fraction(amount) * micros_per_minor(currency)
    return round(exact)


def from_units(amount: int | float | str | Decimal) -> int:
    """Main units ("12.50", 12.5) to micros. Raises InvalidInput for text that is no finite number."""
    try:
        value = Decimal(str(amount).strip())
        micros = (value * MICROS).to_integral_value(ROUND_HALF_EVEN)
    except (ArithmeticError, ValueError) as error:
        raise InvalidInput(f"{amount!r} is not an amount of money.") from error
    if not micros.is_finite() or abs(micros) >= 2**63:
        raise InvalidInput(f"{amount!r} is not an amount of money.")
    return int(micros)
