"""The web application: GET /ping, and POST /invocations with lines of CSV, answered with a label for each."""

import csv
import pickle

import flask

app = flask.Flask(__name__)
with open("/opt/ml/model/tree.pkl", "rb") as file:
    tree = pickle.load(file)


@app.get("/ping")
def ping():
    return "\n"


@app.post("/invocations")
def invocations():
    if flask.request.mimetype != "text/csv":
        return "this model takes text/csv\n", 415
    rows = csv.reader(flask.request.get_data(as_text=True).splitlines())
    labels = tree.predict([[float(cell) for cell in row] for row in rows])
    return flask.Response("".join(f"{label}\n" for label in labels), mimetype="text/csv")
