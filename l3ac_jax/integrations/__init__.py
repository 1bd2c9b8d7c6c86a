"""The codec as other libraries' users expect one."""
