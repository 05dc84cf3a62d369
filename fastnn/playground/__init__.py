"""`fastnn playground`: a page on which one watches small networks learn to tell two classes of points apart.

settings.py says what a page may ask for, session.py trains and draws one network, worker.py runs all sessions on one
thread, and server.py answers the browser, whose files lie in page/.
"""
