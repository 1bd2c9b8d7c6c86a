"""The command `l3ac-jax page`: a folder of static files that codes audio in a browser."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import tyro

from l3ac_jax.cli.command import (
    DEFAULT_DEVICE,
    Model,
    Output,
    Overwrite,
    loaded,
    note,
)
from l3ac_jax.cli.stream import Block, check_block
from l3ac_jax.config import DEFAULT_STREAMING_MODEL

__all__ = ["page"]

Runtime = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")]


def page(
    output: Output,
    /,
    model: Model = DEFAULT_STREAMING_MODEL,
    block: Block = 8,
    runtime: Runtime = None,
    overwrite: Overwrite = False,
) -> int:
    """Write a page that codes audio in the browser: a file, or the microphone while you speak.

    OUT is a folder of static files for any web server, for example `python -m http.server
    --directory OUT`, and http://localhost:8000. Opened from the disk it does not run, and browsers
    give the microphone only to pages from http://localhost or https. Nothing is sent anywhere: the
    codec runs in the browser. Needs `pip install 'l3ac-jax[export]'`, and npm or --runtime.

    Args:
        output: Folder to make.
        model: One that streams exactly: a name, hf://OWNER/NAME, or model folder or file.
        block: Tokens to compute at a time: more are less work and come later.
        runtime: Unpacked npm package onnxruntime-web (node_modules/onnxruntime-web); unless given,
            `npm pack` downloads it.
        overwrite: Replace a folder that holds nothing but an earlier page.
    """
    check_block(block)
    from l3ac_jax.exports.browser_page import (
        NAMES,
        PACKAGE,
        check_runtime,
        check_streams,
        runtime_folder,
        write_page,
    )
    from l3ac_jax.exports.writing import check_packages
    from l3ac_jax.system.folders import check_target, complete_folder

    check_target(output, overwrite, NAMES)
    check_packages("onnx")
    if runtime is not None:
        check_runtime(runtime)
    with loaded(model, DEFAULT_DEVICE) as codec, contextlib.ExitStack() as stack:
        check_streams(codec, block)
        if runtime is None:
            note(f"l3ac-jax: downloading {PACKAGE} with npm")
            runtime = stack.enter_context(runtime_folder())
        with complete_folder(output, overwrite, NAMES) as folder:
            for line in write_page(codec, folder, block, runtime):
                print(line)
    print(f"{output}: to be opened from a web server, for example:")
    print(f"  python -m http.server --directory {output}    # http://localhost:8000")
    return 0
