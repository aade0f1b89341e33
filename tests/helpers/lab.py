"""The commands of docs/cluster.md that tests/cluster types; the tests of the documents know them from here."""

REPRO = "MLFLOW_TRACKING_URI=http://<server>:5000 make repro"
SYNC = "MLFLOW_TRACKING_URI=http://<server>:5000 soundtrack sync"
PUSH = "AWS_ACCESS_KEY_ID=soundtrack AWS_SECRET_ACCESS_KEY=<password> dvc push"
ADD, ENDPOINT = "dvc remote add -d store s3://dvc/music", "dvc remote modify store endpointurl http://<server>:8333"
ADD_SSH, PUSH_SSH = "dvc remote add near ssh://<user>@<server>/<folder>", "dvc push -r near"
FETCH, UPDATE = "dvc import-url s3://<bucket>/<folder> data/music", "dvc update data/music.dvc"
CLONE, PULL = "git clone <repository> music && cd music", "dvc pull && make repro"
COMMANDS = (REPRO, SYNC, PUSH, ADD, ENDPOINT, ADD_SSH, PUSH_SSH, CLONE, PULL, FETCH, UPDATE)
