"""Which of two answers is better, and how often.

judges              what every judge gives; the true reward and votes as judges
reward_model_judge  a reward model as a judge
endpoint            a language model behind an address as a judge
post                one request, limited in time and size
secret              a key that is sent and goes nowhere else
choices             the choice in such a model's reply
win_rate            the rate with its interval, with and without length
"""
