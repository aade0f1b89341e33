"""DVC projects beside the one in the root: what their stages depend on."""

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def covers(project: Path, deps: Iterable[str], imported: Iterable[Path], others: Iterable[Path] = ()) -> None:
    """Check that each imported file, and each of the others, is a dependency or lies in a folder that is one."""
    declared = {(project / dep).resolve() for dep in deps}
    files = [ROOT / file for file in imported if not _is_empty(ROOT / file)]
    missing = [file for file in [*files, *others] if not declared & {file, *file.parents}]
    assert not missing, f"{project.name}/dvc.yaml lacks {sorted(str(file.relative_to(ROOT)) for file in missing)}"


def _is_empty(file: Path) -> bool:
    """Whether a package's file has nothing but a docstring."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return file.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)
