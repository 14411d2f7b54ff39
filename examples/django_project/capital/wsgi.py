"""Where uWSGI finds the project. (``env =`` in a vassal's config comes too late for a uWSGI inside a Python.)"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "capital.settings")
application = get_wsgi_application()
