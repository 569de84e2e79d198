"""General settings: ``pages`` lists them with history and changes one, with a preview of the tokens that end."""
