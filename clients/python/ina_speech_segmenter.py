#!/usr/bin/env python3
"""Find speech, music and noise in an audio file with the INA speech segmenter on HPC."""

import sys

import hpc_batch

if __name__ == "__main__":
    sys.exit(
        hpc_batch.run_tool(
            __doc__,
            script="ina_speech_segmenter",
            inputs={"input": "audio file to read"},
            outputs={"segments": "file the segments are written to"},
        )
    )
