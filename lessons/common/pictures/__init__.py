"""Pictures in place of audio: the two lessons on pictures run the pipeline with what is here."""
