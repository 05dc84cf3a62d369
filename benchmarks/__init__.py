"""fastnn's benchmarks: one table of cases, run by every library in a process of its own.

cases.py is the table; peers.py and the with_*.py run it; worker.py, machine.py and startup.py measure;
driver.py is `fastnn bench`; report.py writes Markdown, the README's table and docs/benchmarks.md. Nothing here is part
of the wheel.
"""
