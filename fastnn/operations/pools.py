"""The base of layers that take one number of each window of an image, channel by channel."""

from dataclasses import dataclass

from fastnn.operations.base import Shape
from fastnn.operations.windows import Window, WindowLayer


@dataclass(frozen=True)
class PoolLayer(WindowLayer):
    """The fields of pools: windows that by default meet without a gap."""

    kernel_size: int | tuple[int, int]
    stride: int | None = None
    padding: int = 0

    init_before = ""

    def __post_init__(self) -> None:
        self.check_window()
        if self.stride == self.kernel_size:
            object.__setattr__(self, "stride", None)
        most = min(self.window.size) // 2
        if self.padding > most:
            remedy = "pass a smaller padding, or a larger kernel_size"
            expected = f"padding: expected at most half of kernel_size {self.kernel_size}, which is {most}"
            raise ValueError(f"{expected}, got {self.padding}; {remedy}")

    @property
    def window(self) -> Window:
        stride = 1 if self.stride is None else self.stride
        window = Window.checked(self.kernel_size, stride, self.padding)
        return window._replace(stride=None) if self.stride is None else window

    def shape_of_output(self, shape: Shape) -> Shape:
        rows, columns = self.window.outputs(self, shape)
        return (shape[0], rows, columns)
