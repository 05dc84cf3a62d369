"""Windows that slide over images (C, H, W): their sizes, and how many there are."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, NamedTuple, NoReturn

from fastnn.gate import arrays, checks
from fastnn.operations.base import Layer, Shape

MOST = 2**20  # elements along one side
PADDINGS = ("same", "valid")  # other libraries' names


def _size(given: Any) -> tuple[int, int]:
    """The height and width of a window: of a number, both."""
    sides = given if isinstance(given, tuple | list) else (given, given)
    if len(sides) != 2:
        expected = "kernel_size: expected a number, or a height and a width"
        raise ValueError(f"{expected}, got {len(sides)} number{'s' * (len(sides) != 1)}; pass 3 or (3, 3)")
    height, width = (arrays.integer("kernel_size", side, 1, MOST) for side in sides)
    return height, width


def check_stride(given: Any, size: tuple[int, int] | None = None) -> int:
    """The step from one window to the next; size: that of the windows, if it is known."""
    if isinstance(given, str) and given.lower() in PADDINGS:
        _refuse("stride", 1, repr(given), f"it is a padding: {_named_padding(given, size)}")
    _refuse_pair("stride", given, 1)
    return arrays.integer("stride", given, 1, MOST)


def check_padding(given: Any, size: tuple[int, int] | None = None) -> int:
    """The rows and columns around an image; size: as for `check_stride`."""
    if isinstance(given, str) and given.lower() in PADDINGS:
        _refuse("padding", 0, repr(given), _named_padding(given, size))
    _refuse_pair("padding", given, 0)
    return arrays.integer("padding", given, 0, MOST)


def _refuse_pair(name: str, given: Any, least: int) -> None:
    """Refuse a number for each axis."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        return
    came = ", ".join(map(checks.shown, given))
    same = all(isinstance(one, int) for one in given) and given[0] == given[1]
    remedy = f"pass {name}={given[0]}" if same else "pass a single number"
    _refuse(name, least, f"({came})", f"one {name} serves both axes: {remedy}")


def _refuse(name: str, least: int, came: str, remedy: str) -> NoReturn:
    raise TypeError(f"{name}: expected an integer of at least {least}, got {came}; {remedy}")


def _named_padding(name: str, size: tuple[int, int] | None) -> str:
    """What to do for a padding of other libraries: "valid", none, or "same", outputs of the image's size."""
    if name.lower() == "valid":
        return "pass padding=0"
    if size is None:
        return "pass padding=(height - 1) // 2 for filters of odd height and as wide"
    if size[0] == size[1] and size[0] % 2 == 1:
        return f"pass padding={(size[0] - 1) // 2}, which keeps an image's size at stride 1"
    return "an odd kernel_size, as high as wide, keeps an image's size by padding=(kernel_size - 1) // 2"


class Window(NamedTuple):
    """The size of a window, the step to the next one (None: its size), and the rows and columns around an image."""

    size: tuple[int, int]
    stride: int | None
    padding: int

    @classmethod
    def checked(cls, kernel_size: Any, stride: Any, padding: Any) -> "Window":
        """A window with numbers as users give them."""
        size = _size(kernel_size)
        return cls(size, check_stride(stride, size), check_padding(padding, size))

    @property
    def steps(self) -> tuple[int, int]:
        """The steps down and to the right."""
        return self.size if self.stride is None else (self.stride, self.stride)

    def fields(self) -> dict[str, Any]:
        """The fields of a layer."""
        height, width = self.size
        return {"kernel_size": height if height == width else self.size, "stride": self.stride, "padding": self.padding}

    def numbers(self) -> tuple[float, ...]:
        """The numbers that a unit reads: height, width, stride (0: the window's size) and padding."""
        return (float(self.size[0]), float(self.size[1]), float(self.stride or 0), float(self.padding))

    def outputs(self, layer: Layer, shape: Shape) -> tuple[int, int]:
        """How many windows an image has, in rows and columns; refuses other shapes, and images without a window."""
        if len(shape) != 3:
            remedy = "give the network input_shape=(channels, height, width), and Flatten() after the layers of images"
            raise ValueError(f"expected images (channels, height, width) for {layer}, got the shape {shape}; {remedy}")
        spaces = [side + 2 * self.padding - size for side, size in zip(shape[1:], self.size, strict=True)]
        if min(spaces) < 0:
            least = " x ".join(str(size - 2 * self.padding) for size in self.size)
            remedy = "take a smaller kernel_size, or more padding"
            raise ValueError(f"expected images of at least {least} pixels for {layer}, got the shape {shape}; {remedy}")
        down, right = self.steps
        return spaces[0] // down + 1, spaces[1] // right + 1


@dataclass(frozen=True)
class WindowLayer(Layer):
    """The base of layers with windows, which have the fields kernel_size, stride and padding."""

    takes_images = True

    def __str__(self) -> str:
        own = sorted(
            fields(self), key=lambda one: one.kw_only is True
        )  # options of training, which a base class has, last
        values = [(one, getattr(self, one.name)) for one in own]
        given = [repr(value) for one, value in values if one.default is MISSING]
        given += [f"{one.name}={value!r}" for one, value in values if one.default not in (MISSING, value)]
        return f"{type(self).__name__}({', '.join(given)})"

    def check_window(self) -> None:
        """Check the fields, and write them in one form."""
        for name, value in self.window.fields().items():
            object.__setattr__(self, name, value)

    @property
    def window(self) -> Window:
        """Its windows."""
        return Window.checked(*(getattr(self, name) for name in ("kernel_size", "stride", "padding")))

    def numbers(self) -> tuple[float, ...]:
        return self.window.numbers()
