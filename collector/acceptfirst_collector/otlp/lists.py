"""Parses requests, and rewrites attribute values that are arrays or maps into JSON strings, as the exporter does.

The store reads plain values only: ClickHouse reads no recursive message, and making text of lists there costs each span
nearly as much as all else that is done to it, whether it has any or not (2.3 µs of 5.8). Most requests have none, so
finding them must cost next to nothing: requests are parsed with OTLP's own descriptors but for one change, that an
array or a map is a message with a *required* field, which no request has. So asking the parsed request whether it is
complete looks for lists in C, and what is in them is parsed only where there is one.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_MARK_FILE = "acceptfirst_lists.proto"
_MARK_PACKAGE = "acceptfirst.lists"
_KINDS: dict[str, Any] = {"array_value": common_pb2.ArrayValue, "kvlist_value": common_pb2.KeyValueList}
#: From here on JSON spells a whole number with an exponent.
_WHOLE_MAX = 1e21


def parse_request(body: bytes) -> Any:
    """Parse an ExportTraceServiceRequest; `rewrite_lists` makes it one that the store can read.

    Returns:
        The message. What is in its arrays and maps is not parsed yet.

    Raises:
        DecodeError: it is none.
    """
    return _REQUEST.FromString(body)


def has_lists(request: Message) -> bool:
    """Say whether a parsed request has an attribute value that is an array or a map."""
    return not request.IsInitialized()


def rewrite_lists(request: Any) -> None:
    """Rewrite, in place, each array and each map into a JSON string.

    Raises:
        DecodeError: what is in one can't be parsed.
    """
    for holder in _holders(request):
        if not holder.IsInitialized():
            _rewrite(holder.attributes)


def _holders(request: Any) -> Iterator[Any]:
    """Whatever has attributes; of spans only those that have a list somewhere."""
    for resource_spans in request.resource_spans:
        yield resource_spans.resource
        for scope_spans in resource_spans.scope_spans:
            yield scope_spans.scope
            for span in scope_spans.spans:
                if not span.IsInitialized():
                    yield from (*span.events, *span.links, span)


def _rewrite(attributes: Iterable[Any]) -> None:
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        if kind in _KINDS:
            content = getattr(attribute.value, kind).SerializePartialToString()
            value = _content(_KINDS[kind].FromString(content))
            attribute.value.string_value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _content(values: common_pb2.ArrayValue | common_pb2.KeyValueList) -> Any:
    # Keys sorted by nothing: the order in which they came is the order in which they are stored.
    if isinstance(values, common_pb2.KeyValueList):
        return {pair.key: _plain(pair.value) for pair in values.values}
    return [_plain(item) for item in values.values]


def _plain(value: common_pb2.AnyValue) -> Any:
    """Turn a value into what JSON can hold: bytes as base64, a float that is no number as its name."""
    kind = value.WhichOneof("value")
    if kind in _KINDS:
        return _content(getattr(value, kind))
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        return _number(value.double_value)
    return getattr(value, kind) if kind else None


def _number(value: float) -> float | int | str:
    """A whole float without its fraction, as JSON's other writers have it."""
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < _WHOLE_MAX else value


def _request_class() -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    mark = descriptor_pb2.FileDescriptorProto(name=_MARK_FILE, package=_MARK_PACKAGE, syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto
    for kind in _KINDS:
        never = mark.message_type.add(name=kind).field.add(name="never", number=1000)
        never.label, never.type = field.LABEL_REQUIRED, field.TYPE_BOOL
    pool.Add(mark)
    for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        if module is common_pb2:
            _mark_lists(file)
        pool.Add(file)
    name = trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR.full_name
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def _mark_lists(file: descriptor_pb2.FileDescriptorProto) -> None:
    file.dependency.append(_MARK_FILE)
    any_value = next(message for message in file.message_type if message.name == "AnyValue")
    for field in any_value.field:
        if field.name in _KINDS:
            field.type_name = f".{_MARK_PACKAGE}.{field.name}"


_REQUEST = _request_class()
