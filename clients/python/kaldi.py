#!/usr/bin/env python3
"""Turn the speech in an audio file into text with Kaldi on HPC."""

import sys

import hpc_batch

if __name__ == "__main__":
    sys.exit(
        hpc_batch.run_tool(
            __doc__,
            script="kaldi",
            inputs={"input": "audio file to read"},
            outputs={
                "kaldi_json": "file for the transcript as Kaldi's JSON",
                "kaldi_txt": "file for the transcript as text",
                "amp_json": "file for the transcript as AMP's JSON",
            },
        )
    )
