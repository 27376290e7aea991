-- 2026-11-24. WHY: rows are not made in Python. Concatenated OTLP requests are one larger valid request, which ClickHouse
-- parses itself (FORMAT ProtobufSingle, schema in otlp_request.proto beside this folder) into this Null table; its view
-- makes rows of the exporter's shape. Column names and nesting are those of the .proto; `value` is the oneof's presence
-- (input_format_protobuf_oneof_presence), which tells an int of 0 from no value at all.
CREATE TABLE IF NOT EXISTS acceptfirst.otlp_requests
(
    resource_spans Array(Tuple(
        resource Tuple(attributes Array(Tuple(
            key String,
            value Tuple(
                string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                array_value Tuple(values Array(Tuple(
                    string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7)))),
                kvlist_value Tuple(values Array(Tuple(key String, value Tuple(
                    string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                    value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7))))),
                value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                    'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7))))),
        scope_spans Array(Tuple(
            scope Tuple(name String, version String),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                trace_state String,
                parent_span_id String,
                name String,
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Array(Tuple(
                    key String,
                    value Tuple(
                        string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                        array_value Tuple(values Array(Tuple(
                            string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                            value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7)))),
                        kvlist_value Tuple(values Array(Tuple(key String, value Tuple(
                            string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                            value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7))))),
                        value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                            'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)))),
                events Array(Tuple(
                    time_unix_nano UInt64,
                    name String,
                    attributes Array(Tuple(
                        key String,
                        value Tuple(
                            string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                            array_value Tuple(values Array(Tuple(
                                string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                                value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7)))),
                            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(
                                string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                                value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7))))),
                            value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                                'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)))))),
                links Array(Tuple(
                    trace_id String,
                    span_id String,
                    trace_state String,
                    attributes Array(Tuple(
                        key String,
                        value Tuple(
                            string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                            array_value Tuple(values Array(Tuple(
                                string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                                value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7)))),
                            kvlist_value Tuple(values Array(Tuple(key String, value Tuple(
                                string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String,
                                value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, 'bytes_value' = 7))))),
                            value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                                'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)))))),
                status Tuple(message String, code Int32)))))))
)
ENGINE = Null;
