"""What stands as text about operations is what the registry says."""

from docs import generate


def test_the_text_is_that_of_the_registry() -> None:
    for file, text in generate.texts().items():
        found = file.read_text(encoding="utf-8")
        assert found == text, f"{file.name} is not what the registry says: run python -m docs.generate"
