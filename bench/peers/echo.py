"""What Flask alone costs: a route, a form, JSON."""

from flask import Flask, Response, jsonify, request


def wsgi() -> Flask:
    """Make the application."""
    app = Flask(__name__)

    @app.post("/echo")
    def echo() -> Response:
        return jsonify(request.form)

    return app
