#!/bin/sh
exec tally a b c
