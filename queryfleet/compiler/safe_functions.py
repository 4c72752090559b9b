"""What SQL of a calculation may call when its author may not write SQL: values in, a value out, and nothing else.

Warehouses have functions that run a text as SQL or read files, and no list of those is ever complete; so this is a
list of what is allowed.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SAFE_WORDS", "SUBQUERY_WORDS"]

# Words that begin a query inside brackets; the last of them also stands in `extract(year from …)`.
SUBQUERY_WORDS: Final = frozenset({"select", "with", "table", "values", "pivot", "unpivot", "from"})

_KEYWORDS: Final = (
    "all and any array as asc between by case cast desc distinct else end except exclude extract filter from group "
    "having ignore ilike in interval is like not null nulls on or order over partition range respect rows similar some "
    "then try_cast using when within"
)
_NUMBERS: Final = (
    "abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees div exp factorial floor gcd greatest lcm least ln log "
    "log10 log2 mod pi pow power radians round safe_divide sign sin sqrt tan trunc truncate width_bucket"
)
_TEXTS: Final = (
    "ascii char_length character_length chr concat concat_ws contains ends_with endswith format initcap instr left "
    "length lower lpad ltrim md5 octet_length position regexp_matches regexp_replace regexp_substr repeat replace "
    "reverse right rpad rtrim split split_part starts_with startswith strpos substr substring text to_char to_hex "
    "to_number translate trim upper"
)
_DATES: Final = (
    "add_months age current_date current_timestamp date date_add date_diff date_format date_part date_sub date_trunc "
    "dateadd datediff datename datepart datetime day dayname dayofmonth dayofweek dayofyear dow doy epoch extract "
    "from_unixtime hour last_day make_date make_timestamp minute month monthname months_between now quarter second "
    "strftime timestamp timestamp_diff timestamp_trunc to_date to_timestamp week weekday weekofyear year yearweek"
)
_CHOICES: Final = "coalesce decode if ifnull iff isnull nullif nullifzero nvl nvl2 zeroifnull"
_TYPES: Final = (
    "bigint boolean char decimal double float float64 int int64 integer numeric number real smallint string varchar"
)
_AGGREGATES: Final = (
    "any_value approx_count_distinct avg bool_and bool_or count cume_dist dense_rank every first first_value lag last "
    "last_value lead max median min mode nth_value ntile percent_rank percentile_cont percentile_disc quantile_cont "
    "rank ratio_to_report row_number stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance"
)

# Lower case; what may stand before an opening bracket.
SAFE_WORDS: Final = frozenset(
    word for words in (_KEYWORDS, _NUMBERS, _TEXTS, _DATES, _CHOICES, _TYPES, _AGGREGATES) for word in words.split()
)
