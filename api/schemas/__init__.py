"""The shapes of requests and answers: requests are checked by them, answers are documented by them."""
