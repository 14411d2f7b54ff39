"""The one page."""

import os

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html", {"now": timezone.now(), "worker": os.getpid(), "master": os.getppid()})


urlpatterns = [path("", page)]
