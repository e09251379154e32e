"""Preferences without human labels: principles, a critic that applies them, and the pairs.

principles     what answers are judged by, and a file of principles
review_rules   rules that check principles in the reviews world, and mend a review
chats          who writes: a local chat model, a model behind an address, the reviews' grammar
journal        every reply on disk as soon as it is there, and never asked for twice
critics        critique, revision and choice: what a critic does, and the rules as one
chat_critic    a chat model as a critic
revising       prompts -> originals, critiques, revisions
labelling      prompts -> two answers, and the one that follows a principle, both orders asked
feedback_pairs pairs with their provenance: made, written and read
editing        pairs filtered and edited, by hand or by rule
measures       critiques and labels against rules, and their biases of position and length
training       a policy trained on the pairs, measured before and after
"""
