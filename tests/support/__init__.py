"""Programs, servers, browsers, databases and clients that the tests share; holds no tests."""
