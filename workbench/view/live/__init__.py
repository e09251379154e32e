"""The live dashboard and the threads behind it.

dashboard.py         the dashboard as it is made, shown and waited for
dashboard_actions.py what its buttons do, and what its worker tells it
dashboard_inputs.py  the input widgets and the layout
screen.py            the output widgets of a live run
static.py            the synchronous form, for notebooks that run unattended
one_line.py          a run's progress in one line
screen_protocol.py   what a worker calls to show something
worker.py            the thread that drives a run and its branches
model_thread.py      the one thread of the process that uses models
run_state.py         step, speed, settings and commands of one run
run_answers.py       the answers of runs beside their reference's
writing.py           texts while models write them
runs_table/          the runs of today and of earlier days
elsewhere/           runs that other processes train, followed in their folders
outputs/             outputs outside of the dashboard's box
"""
