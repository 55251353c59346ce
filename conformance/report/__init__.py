"""Reports of a run: for people (terminal), programs (JSON) and CI (JUnit)."""
