"""Values: what a frozen dataclass with slots is, but made without generating code.

Rules:

* A subclass names its fields by annotations, with their defaults, in the order of its arguments;
  those of its base come first.  What begins with an underscore is no field: see `derived`.
* A value does not change.  It equals another of its own class with the same fields, has their
  hash, shows them in its repr, and can be pickled and copied.
* To `dataclasses` and `inspect` it is a dataclass: `fields`, `replace`, `asdict` and `signature`
  take it.  What they go by is made when it is asked for, and `dataclasses` is not imported before.

Why: a frozen dataclass takes 0.3 to 0.4 ms to make, and there are some forty of these in an import
that programs have to wait for.  One of these takes 0.01 ms.
"""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar, dataclass_transform

from .naming import unexpected

if TYPE_CHECKING:
    import dataclasses

__all__ = ["Value", "as_dict", "derived", "plain", "set_derived"]

T = TypeVar("T")

_set: Final = object.__setattr__
_NO_DEFAULT: Final = object()


def derived(*, init: Literal[False] = False) -> Any:  # for type checkers
    """What ``__post_init__`` works out from the fields, and is none itself: an attribute under a
    name that begins with an underscore."""


def set_derived(value: Value, name: str, result: object) -> None:
    """Set an attribute; in ``__post_init__``, and nowhere else."""
    _set(value, name, result)


_PLAIN: Final[tuple[tuple[type, Any], ...]] = (
    (str, str.__str__),
    (int, int.__index__),
    (bytes, bytes.__bytes__),
    (float, float.__float__),
)
_AS_IT_IS: Final = frozenset({type(None), *(kind for kind, _ in _PLAIN)})


def plain(value: T) -> T:
    """The value without its subclass: of a member of an enum that is a str, the str.

    A subclass may have a ``__str__`` of its own, and what is kept is shown to people, compared,
    and handed to the system.
    """
    if type(value) in _AS_IT_IS:
        return value
    for kind, copy in _PLAIN:
        if isinstance(value, kind):
            copied: T = copy(value)
            return copied
    return value


class _ValueType(type):
    """Makes fields and slots of what a class annotates."""

    _types: dict[str, Any]
    _defaults: dict[str, Any]

    def __new__(
        cls, name: str, bases: tuple[type, ...], members: dict[str, Any], *, kw_only: bool = False
    ) -> Any:
        slots: dict[str, Any] = {}
        types: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for base in bases:
            if isinstance(base, _ValueType):
                types.update(base._types)
                defaults.update(base._defaults)
        for attribute, kind in members.get("__annotations__", {}).items():
            if str(kind).startswith("ClassVar"):
                continue
            slots[attribute] = kind
            if attribute[0] != "_":
                types[attribute] = kind
            default = members.pop(attribute, _NO_DEFAULT)
            if attribute in types and default is not _NO_DEFAULT:
                defaults[attribute] = default
        members |= {
            "__slots__": tuple(slots),
            "__match_args__": tuple(types),
            "_types": types,
            "_defaults": defaults,
            "_kw_only": kw_only,
            "_last": tuple(defaults.values()),  # those with defaults come last
        }
        made: Any = super().__new__(cls, name, bases, members)
        # What follows is for speed: values are made in the middle of a dial.
        made._setters = tuple([getattr(made, field).__set__ for field in types])
        made._positional = -1 if kw_only else len(types)
        made._checked = hasattr(made, "__post_init__")
        return made


def as_dict(value: Value) -> dict[str, Any]:
    """What `dataclasses.asdict` gives of a value."""
    import dataclasses

    return dataclasses.asdict(value)


@cache
def _as_dataclass(kind: Any) -> Any:
    """A dataclass with the same fields."""
    import dataclasses

    fields = []
    for name, annotation in kind._types.items():
        default: Any = kind._defaults.get(name, dataclasses.MISSING)
        keywords: Any = {"default": default, "kw_only": kind._kw_only}
        if type(default).__hash__ is None:  # which a dataclass would refuse
            del keywords["default"]
            keywords["default_factory"] = lambda same=default: same
        fields.append((name, annotation, dataclasses.field(**keywords)))
    return dataclasses.make_dataclass(kind.__name__, fields)


class _Fields:
    """What `dataclasses` looks for."""

    def __get__(self, value: object, kind: Any) -> Any:
        return _as_dataclass(kind).__dataclass_fields__


class _Signature:
    """What `inspect.signature` looks for; nothing on a class with an ``__init__`` of its own."""

    def __get__(self, value: object, kind: Any) -> Any:
        return None if kind.__init__ is not Value.__init__ else signature(_as_dataclass(kind))


@dataclass_transform(frozen_default=True, field_specifiers=(derived,))
class Value(metaclass=_ValueType):
    """An immutable record; subclass it with annotations."""

    __match_args__: ClassVar[tuple[str, ...]]
    _types: ClassVar[dict[str, Any]]
    _defaults: ClassVar[dict[str, Any]]
    _last: ClassVar[tuple[Any, ...]]
    _setters: ClassVar[tuple[Any, ...]]
    _positional: ClassVar[int]
    _checked: ClassVar[bool]
    _kw_only: ClassVar[bool]

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

        def __post_init__(self) -> None: ...  # for subclasses: look at the fields, `set_derived`

    else:
        __dataclass_fields__ = _Fields()
        __signature__ = _Signature()

    def __init__(self, *values: Any, **named: Any) -> None:
        if named or len(values) != self._positional:
            values = self._bind(values, named)
        for set_field, value in zip(self._setters, values, strict=False):  # there are as many
            set_field(self, value)
        if self._checked:
            self.__post_init__()

    @classmethod
    def _bind(cls, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """The value of each field.

        Raises:
            TypeError: there is one too many, or too few.
        """
        missing = cls._positional - len(values)
        if 0 < missing <= len(cls._last) and not named:
            return values + cls._last[-missing:]
        if not values:
            given = cls._defaults | named
            if given.keys() == cls._types.keys():
                return tuple(map(given.__getitem__, cls.__match_args__))
        names = () if cls._kw_only else cls.__match_args__
        if len(values) > len(names):
            raise TypeError(
                f"{cls.__name__}() takes {len(names)} positional arguments, not {len(values)}"
            )
        given = dict(zip(names, values, strict=False))
        for name in named:
            if name in given:
                raise TypeError(f"{cls.__name__}() got multiple values for argument {name!r}")
            if name not in cls._types:
                raise unexpected(cls.__name__, name, cls.__match_args__)
        given = {**cls._defaults, **given, **named}
        absent = [name for name in cls.__match_args__ if name not in given]
        if absent:
            raise TypeError(f"{cls.__name__}() is missing {', '.join(map(repr, absent))}")
        return tuple([given[name] for name in cls.__match_args__])

    def replace(self, **changes: Any) -> Self:
        """A value with these fields, and the others as they are here.

        Raises:
            TypeError, ValueError: as on construction.
        """
        fields = dict(zip(self.__match_args__, self._fields(), strict=True))
        return type(self)(**{**fields, **changes})

    __replace__ = replace  # for copy.replace

    def _fields(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({shown})"

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self._fields())

    def __setattr__(self, name: str, value: object) -> None:
        raise _frozen(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise _frozen(f"cannot delete field {name!r}")


def _frozen(words: str) -> Exception:
    import dataclasses

    return dataclasses.FrozenInstanceError(words)


def _rebuild(kind: type[Value], fields: tuple[Any, ...]) -> Value:
    """Without ``__init__``, which may take other arguments."""
    value = kind.__new__(kind)
    for name, field in zip(kind.__match_args__, fields, strict=True):
        _set(value, name, field)
    if kind._checked:
        value.__post_init__()
    return value
