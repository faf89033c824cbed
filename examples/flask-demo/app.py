"""A small Flask application: one page, a version and a health answer."""

import os
import platform
from importlib.metadata import version

from flask import Flask, render_template

import config

app = Flask(__name__)


@app.get("/")
def index():
    return render_template(
        "index.html",
        title=config.TITLE,
        greeting=config.GREETING,
        accent=config.ACCENT,
        app_version=config.VERSION,
        facts={
            "Python": platform.python_version(),
            "Flask": version("flask"),
            "Process": os.getpid(),
        },
    )


@app.get("/version")
def show_version():
    return config.VERSION + "\n", {"Content-Type": "text/plain; charset=utf-8"}


@app.get("/healthz")
def healthz():
    return {"status": "ok"}


if __name__ == "__main__":
    # hd restarts the process after an edit, so Flask's own reloader stays off.
    app.run(
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "5000")),
        debug=False,
        use_reloader=False,
    )
