"""P1: smart meters that talk by themselves, from the Dutch DSMR to the Lithuanian one."""
