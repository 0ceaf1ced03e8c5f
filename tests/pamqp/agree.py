"""What pamqp makes of AMQP, as lines of text: a frame in hexadecimal, a tab, what is in it.

    agree.py write    frames of pamqp's own: every method, every set of properties, every type in a table
    agree.py read     frames from standard input, one per line: what pamqp reads in them, and the
                      frame that it makes of that

What is in a frame is written as the test in Rust writes it, so that the two can be compared.
"""

import datetime
import decimal
import itertools
import sys

from pamqp import body, commands, frame, header, heartbeat

# The methods' fields that AMQP 0-9-1 reserves, as older versions called them.
RESERVED = {"ticket", "capabilities", "insist", "known_hosts", "out_of_band", "channel_id", "cluster_id"}

# What HopMQ calls otherwise.
NAMES = {"nowait": "no_wait", "exchange_type": "kind", "message_type": "kind", "global_": "global"}

UTC = datetime.timezone.utc

TABLE = {
    "array": [1, "two", [True, None], {"three": 3}],
    "bool": True,
    "bytes": bytearray(b"some bytes"),
    "decimal": decimal.Decimal("12.34"),
    "float": 1.5,
    "i16": -300,
    "i32": -70_000,
    "i64": -5_000_000_000,
    "i64 positive": 5_000_000_000,
    "i8": -5,
    "long": "x" * 300,
    "text": "caf\u00e9",
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "u16": 40_000,
    "u32": 3_000_000_000,
    "void": None,
    "within": {"nothing": {}, "x-max-length": 7},
}

# Values for a method's fields, by the type that pamqp gives them: plain ones, and those at the edge.
FIELDS = {
    "bit": [False, True],
    "octet": [9, 0],
    "short": [7, 65_535],
    "long": [70_000, 4_294_967_295],
    "longlong": [5_000_000_000, 9_223_372_036_854_775_807],
    "shortstr": ["name", "n" * 127],
    "longstr": ["some text", ""],
    "table": [{"x-max-length": 5}, TABLE],
}


def text(value):
    """A value in a table, as Rust's Debug shows it, but for the width of numbers, which Python forgets."""
    if value is None:
        return "Void"
    if isinstance(value, bool):
        return f"Bool({str(value).lower()})"
    if isinstance(value, int):
        return f"Int({value})"
    if isinstance(value, float):
        return f"Float({value})"
    if isinstance(value, decimal.Decimal):
        _, digits, exponent = value.as_tuple()
        return f"Decimal {{ scale: {-exponent}, value: {int(''.join(map(str, digits)))} }}"
    if isinstance(value, datetime.datetime):
        return f"Timestamp({int(value.timestamp())})"
    if isinstance(value, bytearray):
        return f"ByteArray({octets(bytes(value))})"
    if isinstance(value, str):
        return f"LongString({octets(value.encode())})"
    if isinstance(value, list):
        return "Array([" + ", ".join(map(text, value)) + "])"
    entries = ", ".join(f'("{name}", {text(value[name])})' for name in sorted(value))
    return f"Table(FieldTable {{ entries: [{entries}] }})"


def octets(value):
    shown = (chr(o) if 32 <= o < 127 else f"\\x{o:02x}" for o in value)
    return 'b"' + "".join(shown).replace("\\x00", "\\0") + '"'


def field(kind, value):
    """A field of a method, or a property."""
    if kind == "table":
        return "{" + ", ".join(f'"{name}": {text(value[name])}' for name in sorted(value)) + "}"
    if kind == "bit":
        return str(bool(value)).lower()
    if kind == "shortstr":
        return f'"{value}"'
    if kind == "longstr":
        return str(list(value if isinstance(value, bytes) else value.encode()))
    if kind == "timestamp":
        return str(int(value.timestamp()))
    # pamqp takes delivery tags for signed; they are not.
    return str(value % 2**64)


def fields(of, reserved, show=lambda text: text):
    # An absent cluster-id is an empty one to pamqp, and an empty one is not written.
    named = [
        (name, None if name == "cluster_id" and not getattr(of, name) else getattr(of, name))
        for name in of.attributes()
        if name not in reserved
    ]
    return ", ".join(
        f"{NAMES.get(name, name)}: {show('None' if value is None else field(of.amqp_type(name), value))}"
        for name, value in named
    )


def some(text):
    return text if text == "None" else f"Some({text})"


def shown(channel, what):
    if isinstance(what, heartbeat.Heartbeat):
        return f"{channel} heartbeat"
    if isinstance(what, body.ContentBody):
        return f"{channel} body {what.value.hex()}"
    if isinstance(what, header.ContentHeader):
        return f"{channel} header {what.body_size} {fields(what.properties, set(), some)}"
    return f"{channel} method {what.index >> 16}.{what.index & 0xffff} {fields(what, RESERVED)}"


def methods():
    for method in commands.INDEX_MAPPING.values():
        names = [name for name in method.attributes() if name not in RESERVED]
        kinds = [method.amqp_type(name) for name in names]
        # Every combination of bits, since they are packed; the others in step.
        bits = [index for index, kind in enumerate(kinds) if kind == "bit"]
        for step in (0, 1):
            for flags in itertools.product((False, True), repeat=len(bits)):
                values = {name: FIELDS[kind][step] for name, kind in zip(names, kinds)}
                values.update({names[index]: flag for index, flag in zip(bits, flags)})
                made = method()
                for name in set(made.attributes()) & RESERVED:
                    setattr(made, name, "" if made.amqp_type(name).endswith("str") else 0)
                for name, value in values.items():
                    setattr(made, name, value)
                yield made


def property_sets():
    values = {
        "content_type": "text/plain",
        "content_encoding": "gzip",
        "headers": {"a": 1, "b": "two"},
        "delivery_mode": 2,
        "priority": 9,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "m",
        "timestamp": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "message_type": "kind",
        "user_id": "guest",
        "app_id": "app",
        "cluster_id": "old",
    }
    for chosen in itertools.product((False, True), repeat=len(values)):
        properties = commands.Basic.Properties()
        for (name, value), has in zip(values.items(), chosen):
            setattr(properties, name, value if has else None)
        yield header.ContentHeader(body_size=sum(chosen), properties=properties)


def tables():
    """Each type in a table of its own, by its octets, for what pamqp reads but never writes."""
    for name, value in TABLE.items():
        yield commands.Queue.Declare(queue="q", arguments={name: value})
    for integer in (0, 127, -128, 128, 255, -129, 32_767, 32_768, 65_535, 65_536, -32_769):
        yield commands.Queue.Declare(queue="q", arguments={"n": integer})
    for integer in (2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, -(2**31) - 1, 2**63 - 1, -(2**63)):
        yield commands.Queue.Declare(queue="q", arguments={"n": integer})


def write():
    made = itertools.chain(methods(), property_sets(), tables())
    for number, what in enumerate(made):
        yield number % 65_536, what
    yield 0, heartbeat.Heartbeat()
    for content in (b"x", b"\xce" * 100, bytes(range(256))):
        yield 7, body.ContentBody(content)


def main():
    for method in commands.INDEX_MAPPING.values():
        # Rules for its users, such as what names are made of: not the codec's. One is that the
        # reserved field of channel.open must be "0", while HopMQ leaves it empty.
        method.validate = lambda self: None
    if sys.argv[1:] == ["write"]:
        for channel, what in write():
            print(frame.marshal(what, channel).hex(), shown(channel, what), sep="\t")
    elif sys.argv[1:] == ["read"]:
        for line in sys.stdin:
            octets = bytes.fromhex(line.strip())
            consumed, channel, what = frame.unmarshal(octets)
            assert consumed == len(octets), "octets are left over"
            print(frame.marshal(what, channel).hex(), shown(channel, what), sep="\t")
    else:
        sys.exit(__doc__)


main()
