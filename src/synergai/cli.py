"""The console command `synergai`: one verb per part of the system, each imported only when it is used."""

import typer

app = typer.Typer(help="x")


def main() -> None:
    app()
