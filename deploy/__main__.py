"""`python -m deploy`: share the model and the app, with a plan first and a check after."""

from __future__ import annotations

from assistant.libraries import missing_libraries_told
from assistant.words import Text

with missing_libraries_told():
    import click

    from .commands.apps import app
    from .commands.checks import check
    from .commands.export import export
    from .commands.models import model, status, verify
    from .commands.serving import plan, quantize, serve


@click.group(help=str(Text("Share your model and its app.", "分享你的模型和应用。")))
def main() -> None:
    with missing_libraries_told():  # before the command, so before its edge
        from .tokens import hide_everywhere

    hide_everywhere()


for command in (check, model, app, verify, status, plan, serve, quantize, export):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m deploy")
