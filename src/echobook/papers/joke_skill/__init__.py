"""What do you mean I'm funny? Personal jokes for a voice assistant (Mottini and Roy Chowdhury 2019).

Beside the rooms that every paper has:

- `history.py`: what is known of a customer at the moment of a request, and nothing later
- `features.py`: that knowledge as numbers, the feature blocks of the logistic regression
- `simulator.py`: customers who ask, listen, interrupt and come back
- `policies.py`: ways of choosing the next joke, with the probability of every choice
- `deep_training.py`: how the deep model is trained and scored
- `online.py`: the simulated A/B test and estimates from the log
- `checks.py`: what our own code must do, each as one figure, for the page and the tests
"""
