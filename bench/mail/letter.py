"""The letter everybody sends: text and HTML, six merge fields; its size is what the layout around it makes of it."""

SUBJECT = "{{ first_name }}, your training at {{ organisation }}"

BODY = """\
Dear {{ full_name }},

From next month, every course at {{ organisation }} has a fixed period. What you have done stays **valid**.

1. Sign in as `{{ username }}` and look at *My courses*.
2. Begin with what is marked as required.

We write to you at {{ email }}. Certificates will say {{ first_name }} {{ last_name }}; tell
[the training desk](https://learning.example.org/help) if that is wrong.
"""
