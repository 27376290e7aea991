"""Which of ClickHouse's errors blame the data, which the moment, and which the statement.

The collector's writer decides by this between waiting, bisecting and asking for help, so the sets are narrow: what is
not known to blame the data is never taken as a reason to put data aside. Codes: src/Common/ErrorCodes.cpp.
"""

from __future__ import annotations

import re

from acceptfirst_store.errors import DataRefused, StoreError, StoreRefused, StoreUnreachable

#: Too much at once: it may pass in smaller pieces (TIMEOUT_EXCEEDED, MEMORY_LIMIT_EXCEEDED).
EXHAUSTION_CODES = frozenset({159, 241})
TOO_MANY_PARTS = 252
#: ClickHouse gives a hostile block and a store that is behind with merging the same code; only the text differs.
TOO_MANY_PARTITIONS_TEXT = "Too many partitions for single INSERT block"

#: The bytes can't be parsed or the values can't be held: sending them again ends the same way.
DATA_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        407,  # DECIMAL_OVERFLOW
        436,  # PROTOBUF_BAD_CAST
        444,  # UNKNOWN_PROTOBUF_FORMAT: among others, a known field with an unexpected wire type
    }
)

#: The store can't do it now: memory, disk, time, too many parts, shutting down, a broken connection.
TRANSIENT_CODES = frozenset(
    {
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        88,  # CANNOT_TRUNCATE_FILE
        159,  # TIMEOUT_EXCEEDED
        164,  # READONLY
        198,  # DNS_ERROR
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        410,  # EXTERNAL_SERVER_IS_NOT_RESPONDING
        425,  # SYSTEM_ERROR
        774,  # TABLE_IS_PERMANENTLY_READ_ONLY: until somebody sets table_readonly back
        999,  # KEEPER_EXCEPTION
    }
)

_CODE = re.compile(r"Code:\s*(\d+)")


def as_store_error(error: Exception, what: str) -> StoreError:
    """Turn a driver's exception into ours.

    Args:
        error: what clickhouse-connect, chDB or the operating system raised.
        what: what was being done, for the message ("insert into otlp_plain_requests").

    Returns:
        `DataRefused`, `StoreUnreachable` or `StoreRefused`; its text is one line.
    """
    text = " ".join(str(error).split())
    code = error_code(error)
    if code in DATA_CODES or (code == TOO_MANY_PARTS and TOO_MANY_PARTITIONS_TEXT in text):
        return DataRefused(f"the store refused the data of {what}: {text}", code)
    if code == 0 or code in TRANSIENT_CODES:
        return StoreUnreachable(f"the store could not {what}: {connection_trouble(error) or text}")
    return StoreRefused(f"the store refused to {what}: {text}", code)


def connection_trouble(error: BaseException) -> str:
    """What the operating system said where a connection failed: ``connection refused``, not the driver's whole story.

    Args:
        error: what the driver raised; the reasons are chained to it, and some are told only in ``reason``.

    Returns:
        A few words; empty where no connection failed.
    """
    said = ""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, OSError) and each.strerror:
            said = each.strerror
        elif isinstance(each, TimeoutError):
            said = "timed out"
        waiting += [each.__cause__, each.__context__, getattr(each, "reason", None)]
    return said[:1].lower() + said[1:] if said else ""


def error_code(error: BaseException) -> int:
    """Find ClickHouse's error code in an exception: its attribute, else its text; 0 if there is none."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return code
    found = _CODE.search(str(error))
    return int(found.group(1)) if found else 0
