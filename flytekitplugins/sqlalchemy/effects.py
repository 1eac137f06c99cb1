"""What a statement can do, judged by its text: whether it may be repeated, and whether a read-only task may run it.

The judgement leans to the careful side: what is not known to read is taken to write. It sees the text and no more, so a
view, an operator or a trigger that does something of its own is not seen. Pure.
"""

from __future__ import annotations

import re
from typing import Literal

from . import templates

Effect = Literal["reads", "calls", "changes", "anything"]
"""``reads``: changes nothing. ``calls``: reads, but with functions that are not known here. ``changes``: one INSERT,
UPDATE, DELETE, REPLACE or MERGE, undone as a whole with its transaction. ``anything``: all else, such as CALL and DDL,
of which a part may be kept whatever becomes of the transaction."""

_NAME = "quoted_name_"
_PLACEHOLDER = "placeholder_"
_LETTER = "q0q"  # part of no keyword and of no name below
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_DOT = re.compile(r"\s*\.\s*", re.ASCII)
_READING = re.compile(r"[(\s]*(select|with|values|table|explain|describe|desc)\b", re.ASCII)
_SHOWING = re.compile(
    r"\s*(show\b|pragma\s+(\w+\.)?(\w+_(info|xinfo|list|check)\b|(user_version|encoding)\s*\Z))", re.ASCII
)
_CHANGING = re.compile(r"\s*(with|insert|update|delete|replace|merge)\b", re.ASCII)
_ENDS_TRANSACTION = re.compile(r"\b(call|exec|execute|commit|begin|create|alter|drop)\b", re.ASCII)
_CHANGES_WITHIN = re.compile(
    r"\b(update|delete|merge)\b|\b(insert|replace)\b(?!\s*\()", re.ASCII
)  # two are functions, too
# What turns a statement that begins like a read into something else, here or on another kind of server.
_NOT_ONLY_READING = re.compile(
    r"\b(into|call|exec|execute|create|refresh|declare|procedure|lock\s+in|for\s+(update|share|no\s+key|key\s+share))\b",
    re.ASCII,
)
_CTE = re.compile(
    r"[\w$]+\s*\([\w$\s,]*\)\s*as\s+((not\s+)?materialized\s*)?(?=\([(\s]*(select|with|values|table)\b)", re.ASCII
)
_ALIAS = re.compile(r"\bas\s+[\w$]+\s*(?=\()", re.ASCII)
_CALLED = re.compile(r"([\w$.]+)\s*\(", re.ASCII)

# What may stand before a parenthesis in a statement that reads: words of the language, types, and functions of MySQL,
# MariaDB, Dolt, PostgreSQL and SQLite that do nothing but compute. Functions that
# wait, lock, count on or touch files are not here.
_PURE_FUNCTIONS = frozenset(
    """
    all analyse analyze and any array as between bigint binary bit by case cast char character conflict convert
    cross cube date datetime decimal default distinct double else end escape except exists explain extract filter
    float for force from full group groups grouping having if ifnull ignore in index inner int integer intersect
    interval is join json key lateral left like limit match materialized natural not null numeric nvarchar offset on
    only or order ordinality outer over overlaps partition precision range real recursive regexp right rlike rollup
    row rows select sets signed similar smallint some straight_join table tablesample text then time timestamp
    timestamptz tinyint to unbounded union unsigned use using values varbinary varchar varying verbose when where
    window with within without xor year zone div mod collate rowid buffers costs format timing settings wal summary

    count sum avg min max total std stddev stddev_pop stddev_samp var_pop var_samp variance bit_and bit_or bit_xor
    bool_and bool_or every any_value group_concat string_agg array_agg json_agg jsonb_agg json_object_agg
    jsonb_object_agg json_arrayagg json_objectagg json_group_array json_group_object percentile_cont percentile_disc
    mode median corr covar_pop covar_samp regr_slope regr_intercept regr_r2 regr_count approx_count_distinct
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value

    abs acos asin atan atan2 cbrt ceil ceiling cos cot crc32 degrees exp floor greatest least ln log log10 log2 pi
    pow power radians rand random round sign sin sqrt tan trunc truncate width_bucket bin oct hex unhex conv iif
    coalesce nullif nvl nvl2 isnull typeof pg_typeof

    ascii bit_length btrim char_length character_length chr concat concat_ws elt export_set field find_in_set
    format_bytes from_base64 initcap insert instr lcase length like_regex likelihood locate lower lpad ltrim
    make_set md5 mid normalize octet_length ord overlay position printf quote quote_ident quote_literal
    quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse rpad rtrim sha sha1 sha2 sha224
    sha256 sha384 sha512 soundex space split_part starts_with strcmp string_to_array substr substring
    substring_index to_ascii to_base64 to_hex translate trim ucase unicode unistr upper weight_string encode decode
    digest array_length array_to_string array_position array_remove array_append cardinality unnest generate_series
    generate_subscripts glob

    adddate addtime age convert_tz curdate current_date current_time current_timestamp curtime clock_timestamp
    date_add date_bin date_diff date_format date_part date_sub date_trunc datediff day dayname dayofmonth dayofweek
    dayofyear from_days from_unixtime get_format hour isfinite julianday justify_days justify_hours justify_interval
    last_day localtime localtimestamp make_date make_interval make_time make_timestamp make_timestamptz makedate
    maketime microsecond minute month monthname now period_add period_diff quarter sec_to_time second
    statement_timestamp str_to_date strftime subdate subtime sysdate time_format time_to_sec timediff timestampadd
    timestampdiff timezone to_char to_date to_days to_number to_seconds to_timestamp transaction_timestamp
    unix_timestamp unixepoch utc_date utc_time utc_timestamp week weekday weekofyear yearweek

    json_array json_array_append json_array_insert json_array_elements json_array_elements_text json_array_length
    json_build_array json_build_object json_compact json_contains json_contains_path json_depth json_detailed
    json_each json_each_text json_equals json_error_position json_exists json_extract json_extract_path
    json_extract_path_text json_insert json_keys json_length json_loose json_merge json_merge_patch
    json_merge_preserve json_normalize json_object json_object_keys json_overlaps json_patch json_pretty json_query
    json_quote json_remove json_replace json_search json_set json_table json_to_record json_to_recordset json_tree
    json_type json_unquote json_valid json_value jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text
    jsonb_object_keys jsonb_path_exists jsonb_path_query jsonb_pretty jsonb_set jsonb_typeof row_to_json to_json
    to_jsonb

    charset coercibility collation connection_id current_database current_schema current_setting current_user
    database found_rows gen_random_uuid is_ipv4 is_ipv6 inet_aton inet_ntoa inet6_aton inet6_ntoa is_uuid
    bin_to_uuid uuid_to_bin pg_backend_pid pg_column_size pg_relation_size pg_size_pretty pg_table_size
    pg_total_relation_size row_count schema session_user sqlite_version system_user user uuid uuid_short version
    st_astext st_asgeojson st_asbinary st_x st_y st_distance st_within st_contains st_intersects st_geomfromtext
    point

    active_branch dolt_branches dolt_commit_diff dolt_diff dolt_diff_stat dolt_diff_summary dolt_hashof
    dolt_hashof_db dolt_hashof_table dolt_log dolt_merge_base dolt_patch dolt_preview_merge_conflicts
    dolt_preview_merge_conflicts_summary dolt_query_diff dolt_reflog dolt_schema_diff dolt_version has_ancestor
    hashof
    """.split()  # noqa: SIM905 - a list of quoted names is read by nobody
)


def effect(template: str, language: templates.Grammar) -> Effect:
    """Say what the statement can do.

    >>> mysql = templates.grammar("mysql")
    >>> effect("/* all */ select count(*) from t", mysql), effect("select f(1)", mysql)
    ('reads', 'calls')
    >>> effect("insert into t values (1)", mysql), effect("call dolt_commit('-Am', 'x')", mysql)
    ('changes', 'anything')
    """
    code = _code(template, language)
    if code is None:
        return "anything"
    if _SHOWING.match(code):
        return "reads"
    if not _READING.match(code) or _CHANGES_WITHIN.search(code) or _NOT_ONLY_READING.search(code):
        return "changes" if _is_change(code) else "anything"
    names = {found[1] for found in _CALLED.finditer(_ALIAS.sub("as ", _CTE.sub("as ", code)))}
    # A backtick that quotes nothing is an operator of somebody's own to PostgreSQL.
    return "reads" if names <= _PURE_FUNCTIONS and "`" not in code else "calls"


def _is_change(code: str) -> bool:
    one = _CHANGING.match(code) is not None and _CHANGES_WITHIN.search(code) is not None
    return one and not _ENDS_TRANSACTION.search(code)


def _code(template: str, language: templates.Grammar) -> str | None:
    """Return the one statement in small letters without what is quoted; None for several, or for code in a comment."""
    code = ""
    if "\0" in template:
        return None
    for kind, piece in templates.pieces(template, language):
        if kind in ("hint", "open", "unclear") and not piece.startswith("/*+"):
            return None
        code += {"code": piece, "name": _NAME}.get(kind, " ")
    code = templates.PLACEHOLDER.sub(lambda found: _NAME if found[2] else _PLACEHOLDER, code)
    # To servers these are letters of names, white space to Python or not; and small ones are not made ASCII ones.
    code = _NOT_ASCII.sub(_LETTER, code).lower()
    before, _, after = code.partition(";")
    return None if after.replace(";", "").strip(templates.BLANKS) else _DOT.sub(".", before)
