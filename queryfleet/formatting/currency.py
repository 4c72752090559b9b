"""How currencies are written: sign and number of decimals.

Only what differs from the rule is listed. The rule: the code itself stands for the sign, followed by a
space, and two decimals are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Currency", "currency_of"]

_SIGNS = {
    "AUD": "A$",
    "BRL": "R$",
    "CAD": "CA$",
    "CNY": "CN¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "ILS": "₪",
    "INR": "₹",
    "JPY": "¥",
    "KRW": "₩",
    "MXN": "MX$",
    "NZD": "NZ$",
    "PHP": "₱",
    "TWD": "NT$",
    "USD": "$",
    "VND": "₫",
    "XAF": "FCFA",
    "XCD": "EC$",
    "XOF": "F\u202fCFA",  # a narrow no-break space, as the locale data has it
    "XPF": "CFPF",
}
# The sign when it stands behind the number (`1.234,50 €`), where the German locale has another one.
_TRAILING_SIGNS = {"AUD": "AU$", "THB": "฿"}
_WHOLE = (
    "AFN ALL BIF CLP COP DJF GNF HUF IDR IQD IRR ISK JPY KMF KPW KRW LAK LBP MGA MMK PKR PYG RWF SLL SOS SYP "
    "UGX VND VUV XAF XOF XPF YER"
)
_DECIMALS = {**dict.fromkeys(_WHOLE.split(), 0), "BHD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3}
_CODE_LENGTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Currency:
    """How amounts of one currency are written."""

    leading: str  # before the digits, with its space if it has one: `$`, `DKK `
    trailing: str  # behind the digits, with its space: ` €`
    decimals: int  # shown when the field does not say


def currency_of(code: object) -> Currency | None:
    """Return the spelling of a currency by its ISO 4217 code in any case; None for what cannot be a code."""
    if not isinstance(code, str) or len(code) != _CODE_LENGTH or not (code.isascii() and code.isalpha()):
        return None
    code = code.upper()
    sign = _SIGNS.get(code, code)
    # A sign that ends in a letter needs a space before the digits.
    leading = f"{sign} " if sign[-1].isalpha() else sign
    return Currency(leading=leading, trailing=f" {_TRAILING_SIGNS.get(code, sign)}", decimals=_DECIMALS.get(code, 2))
