"""The compiled core, where there is one, and what is asked of many statements at once, compiled or not.

What comes in: the extension module, or the reason why it is not used. What goes out: its functions, typed, and
which code runs, in words (`core`); answers about the statements of a batch, in a list or held by the core
(`texts`). What a function of the core has to say is described where its reference in Python stands.

Imports: no other package of this project.
"""
