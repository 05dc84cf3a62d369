"""`python -m docs.drawings` writes the drawings that differ."""

from docs.drawings import texts

for file, text in texts().items():
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file.name}")
