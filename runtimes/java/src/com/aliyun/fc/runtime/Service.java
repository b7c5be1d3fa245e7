package com.aliyun.fc.runtime;

/** Where logs go, and which version runs. */
public interface Service {
    String getName();

    String getLogProject();

    String getLogStore();

    String getQualifier();

    String getVersionId();
}
