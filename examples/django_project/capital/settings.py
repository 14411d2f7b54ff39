"""A Django project as small as it gets: one page, no database, loopback only."""

from django.core.management.utils import get_random_secret_key

SECRET_KEY = get_random_secret_key()  # nothing that is signed outlives the process here
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "capital.urls"
USE_TZ = True
TIME_ZONE = "UTC"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
INSTALLED_APPS = ["capital"]
