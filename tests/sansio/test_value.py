"""Values: to whoever uses them, frozen dataclasses with slots."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from types import MappingProxyType as mappingproxy
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from aconnect.sansio.value import Value, derived, set_derived

T = TypeVar("T")


class Point(Value):
    kind: ClassVar[str] = "point"
    x: int
    y: int = 0


class Named(Point):
    name: str = ""
    tags: tuple[str, ...] = ()


class Options(Value, kw_only=True):
    first: int = 1
    second: dict[str, int] = {}  # noqa: RUF012


class Checked(Value):
    text: str
    _length: int = derived()

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("text must not be empty")
        set_derived(self, "text", self.text.lower())
        set_derived(self, "_length", len(self.text))


class Box(Value, Generic[T]):
    content: T


class Own(Value):
    a: int

    def __init__(self, text: str) -> None:
        super().__init__(int(text))


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (Point(1), (1, 0)),
        (Point(1, 2), (1, 2)),
        (Point(y=2, x=1), (1, 2)),
        (Named(1), (1, 0, "", ())),
        (Named(1, name="a"), (1, 0, "a", ())),
        (Named(1, 2, "a", ("b",)), (1, 2, "a", ("b",))),
        (Box("a"), ("a",)),
        (Own("7"), (7,)),
    ],
    ids=repr,
)
def test_fields_are_arguments_in_their_order(value: Any, fields: tuple[Any, ...]) -> None:
    assert tuple(getattr(value, name) for name in value.__match_args__) == fields
    assert dataclasses.astuple(value) == fields


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Point(), "missing 'x'"),
        (lambda: Point(1, 2, 3), "takes 2 positional arguments, not 3"),
        (lambda: Point(1, x=2), "multiple values for argument 'x'"),
        (lambda: Point(1, z=2), "unexpected keyword argument 'z'"),
        (lambda: Options(1), "takes 0 positional arguments, not 1"),
        (lambda: Checked("a", _length=2), "unexpected keyword argument '_length'"),
    ],
)
def test_arguments_that_do_not_fit(make: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


def test_equal_if_of_one_class_with_the_same_fields() -> None:
    assert Point(1) == Point(1, 0)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    other: Any = (1, 0)
    assert Point(1) != other
    assert len({Point(1), Point(1), Point(2)}) == 2


def test_nothing_can_be_changed() -> None:
    point: Any = Point(1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: setattr(point, "z", 2),
        lambda: delattr(point, "x"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert point == Point(1)
    assert not hasattr(point, "__dict__")


def test_shown_with_its_fields() -> None:
    assert repr(Named(1, name="a")) == "Named(x=1, y=0, name='a', tags=())"
    assert repr(Checked("A")) == "Checked(text='a')"


@pytest.mark.parametrize("value", [Point(1), Named(1, tags=("a",)), Checked("AB"), Own("7")])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_and_copied(value: Any, protocol: int) -> None:
    for again in (pickle.loads(pickle.dumps(value, protocol)), copy.deepcopy(value)):
        assert again == value
        assert again is not value
    if isinstance(value, Checked):
        assert again._length == 2


def test_replaced() -> None:
    assert Named(1, 2).replace(y=3) == Named(1, 3)
    assert dataclasses.replace(Named(1, 2), y=3) == Named(1, 3)
    assert Options(second={"a": 1}).replace(first=2) == Options(first=2, second={"a": 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Point(1).replace(z=1)


def test_a_dataclass_to_those_who_ask() -> None:
    assert [field.name for field in dataclasses.fields(Named)] == ["x", "y", "name", "tags"]
    assert dataclasses.is_dataclass(Point(1))
    assert dataclasses.asdict(Options()) == {"first": 1, "second": {}}
    assert str(inspect.signature(Point)) == "(x: 'int', y: 'int' = 0) -> None"
    assert str(inspect.signature(Own)) == "(text: 'str') -> 'None'"
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_the_same_of_one_whose_default_has_no_hash() -> None:
    default: Any = mappingproxy({})

    class Told(Value):
        details: Any = default

    (field,) = dataclasses.fields(Told(1))
    made = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
    assert made is default
    assert list(inspect.signature(Told).parameters) == ["details"]


def test_what_is_derived_is_no_field() -> None:
    value = Checked("ABC")
    assert (value.text, value._length) == ("abc", 3)
    assert Checked.__match_args__ == ("text",)
    with pytest.raises(ValueError, match="must not be empty"):
        Checked("")
